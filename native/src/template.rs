//! The job's own Jinja2 templates: one turn of the user for one chunk, and one for a reduce step.
//!
//! Rendered with minijinja over `document`, `title`, `path`, `metadata.*` (and `parts` in a reduce template). The model's
//! chat template is not here: an exec'ed worker renders it once, into prefix and suffix ids. Used by prepare.

use std::collections::BTreeMap;

use minijinja::{Environment, ErrorKind, UndefinedBehavior, Value, context};

use crate::error::{Error, Result};
use crate::settings::JobSettings;

const MAP: &str = "job.template";
const REDUCE: &str = "job.reduce_template";
const FIELDS: [&str; 4] = ["document", "title", "path", "metadata"];
/// Instructions of one rendering: a template that loops for ever fails its document instead of the run.
const FUEL: u64 = 1_000_000;

/// What a template may say about a document besides its text.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct Fields {
    pub title: String,
    pub path: String,
    pub metadata: BTreeMap<String, String>,
}

/// Both templates of a job, compiled and checked.
#[derive(Debug, Clone)]
pub struct JobTemplate {
    environment: Environment<'static>,
    reduces: bool,
    names_path: bool,
}

impl JobTemplate {
    /// Compiles and checks that only known fields are used and that the text reaches the model.
    ///
    /// # Errors
    /// `Config` with the template's key, the line and the rule.
    pub fn compile(job: &JobSettings) -> Result<JobTemplate> {
        let mut environment = Environment::new();
        environment.set_undefined_behavior(UndefinedBehavior::Strict);
        environment.set_fuel(Some(FUEL));
        add(&mut environment, MAP, &job.template, "document")?;
        if let Some(reduce) = &job.reduce_template {
            add(&mut environment, REDUCE, reduce, "parts")?;
        }
        probe(&environment)?;
        let names_path = environment
            .templates()
            .any(|(_, template)| template.undeclared_variables(false).contains("path"));
        Ok(JobTemplate {
            environment,
            names_path,
            reduces: job.reduce_template.is_some(),
        })
    }

    #[must_use]
    pub fn reduces(&self) -> bool {
        self.reduces
    }

    /// Whether the prompt depends on where the document lies, besides on its bytes.
    #[must_use]
    pub fn names_path(&self) -> bool {
        self.names_path
    }

    /// The user's turn for one chunk.
    ///
    /// # Errors
    /// The reason in words: a field that this document lacks, too many steps.
    pub fn render(&self, document: &str, fields: &Fields) -> std::result::Result<String, String> {
        let Fields { title, path, .. } = fields;
        let metadata = metadata(fields);
        self.with(
            MAP,
            context! { document => document, title => title.as_str(), path => path.as_str(), metadata => metadata },
        )
    }

    /// The user's turn that joins the outputs of `parts`, in order.
    ///
    /// # Errors
    /// As `render`.
    pub fn render_reduce(
        &self,
        parts: &[String],
        fields: &Fields,
    ) -> std::result::Result<String, String> {
        let Fields { title, path, .. } = fields;
        let metadata = metadata(fields);
        let parts: Vec<Value> = parts
            .iter()
            .map(|part| Value::from(part.as_str()))
            .collect();
        self.with(
            REDUCE,
            context! { parts => parts, title => title.as_str(), path => path.as_str(), metadata => metadata },
        )
    }

    fn with(&self, name: &str, values: Value) -> std::result::Result<String, String> {
        let template = self.environment.get_template(name);
        template
            .and_then(|template| template.render(values))
            .map_err(|error| format!("template: {name}: {}", describe(&error)))
    }
}

fn add(
    environment: &mut Environment<'static>,
    name: &'static str,
    text: &str,
    needs: &str,
) -> Result<()> {
    let compiled = environment.add_template_owned(name, text.to_owned());
    compiled.map_err(|error| {
        Error::config(
            format!("{name} is not a valid Jinja2 template: {}", describe(&error)),
            "mend the template; fields are document, title, path and metadata.NAME (parts in a reduce template)",
        )
    })?;
    let template = environment.get_template(name).map_err(|error| {
        Error::config(format!("{name}: {}", describe(&error)), "mend the template")
    })?;
    // `range`, `dict` and their kin count as undeclared too.
    let globals: Vec<&str> = environment.globals().map(|(global, _)| global).collect();
    let used = template.undeclared_variables(false);
    let mut unknown: Vec<&str> = used
        .iter()
        .map(String::as_str)
        .filter(|field| {
            *field != needs
                && !globals.contains(field)
                && (!FIELDS.contains(field) || *field == "document")
        })
        .collect();
    unknown.sort_unstable();
    if !unknown.is_empty() {
        return Err(Error::config(
            format!("{name} uses {}, which is not a field", unknown.join(", ")),
            format!("a template may use {needs}, title, path and metadata.NAME"),
        ));
    }
    if !used.contains(needs) {
        return Err(Error::config(
            format!("{name} never uses {{{{ {needs} }}}}, so the text would not reach the model"),
            format!("write {{{{ {needs} }}}} where the text belongs"),
        ));
    }
    Ok(())
}

/// Renders each template once: a filter, test or function that does not exist shows only then. Whatever else this made-up
/// document lacks says nothing about the user's.
fn probe(environment: &Environment<'static>) -> Result<()> {
    for (name, template) in environment.templates() {
        let values = context! {
            document => "text", parts => vec!["text"], title => "title", path => "path",
            metadata => Value::from_pairs([("", "")]),
        };
        let Err(error) = template.render(values) else {
            continue;
        };
        let unknown = matches!(
            error.kind(),
            ErrorKind::UnknownFilter | ErrorKind::UnknownTest | ErrorKind::UnknownFunction
        );
        if unknown {
            return Err(Error::config(
                format!("{name} cannot be rendered: {}", describe(&error)),
                "filters, tests and functions are those of minijinja, which has nearly all of Jinja2's",
            ));
        }
    }
    Ok(())
}

fn metadata(fields: &Fields) -> Value {
    let pairs = fields.metadata.iter();
    Value::from_pairs(pairs.map(|(key, value)| (key.as_str(), value.as_str())))
}

fn describe(error: &minijinja::Error) -> String {
    let line = error.line().map(|line| format!("line {line}: "));
    let detail = error.detail().map(|detail| format!(": {detail}"));
    format!(
        "{}{}{}",
        line.unwrap_or_default(),
        error.kind(),
        detail.unwrap_or_default()
    )
}

#[cfg(test)]
mod tests {
    use super::*;

    fn job(template: &str, reduce: Option<&str>) -> JobSettings {
        JobSettings {
            name: "prompt".into(),
            template: template.into(),
            reduce_template: reduce.map(str::to_owned),
            max_tokens: 16,
            max_documents: None,
            max_chunks: None,
            decoding: "{}".into(),
            schema_hash: None,
            evidence: false,
            max_attempts: 3,
            deadline_ms: 1000,
        }
    }

    fn problem(template: &str) -> String {
        JobTemplate::compile(&job(template, None))
            .expect_err("must be refused")
            .to_string()
    }

    #[test]
    fn an_unknown_filter_is_refused_before_any_document() {
        let problem = problem("{{ document | no_such_filter }}");
        assert!(
            problem.contains("job.template") && problem.contains("no_such_filter"),
            "{problem}"
        );
        JobTemplate::compile(&job("{{ document }}{{ metadata.lang | upper }}", None))
            .expect("a field that only some documents have is no mistake");
    }

    #[test]
    fn a_template_sees_the_document_its_title_path_and_metadata() {
        let template = JobTemplate::compile(&job(
            "{{ title }}|{{ path }}|{{ metadata.lang }}|{{ document }}",
            None,
        ))
        .expect("valid");
        let fields = Fields {
            title: "T".into(),
            path: "a/b.md".into(),
            metadata: BTreeMap::from([("lang".into(), "da".into())]),
        };
        assert_eq!(
            template.render("text <b>", &fields),
            Ok("T|a/b.md|da|text <b>".into())
        );
    }

    #[test]
    fn an_unknown_field_is_named_before_anything_runs() {
        assert!(problem("{{ document }} {{ docment }}").contains("docment"));
    }

    #[test]
    fn a_template_that_drops_the_document_is_refused() {
        assert!(problem("Hello {{ title }}").contains("never uses"));
    }

    #[test]
    fn a_syntax_error_names_the_line() {
        assert!(problem("a\n{{ document }\n").contains("line 2"));
    }

    #[test]
    fn a_missing_metadata_field_fails_the_document_not_the_run() {
        let template =
            JobTemplate::compile(&job("{{ document }}{{ metadata.author }}", None)).expect("valid");
        let reason = template
            .render("x", &Fields::default())
            .expect_err("this document lacks it");
        assert!(reason.starts_with("template: job.template"), "{reason}");
    }

    #[test]
    fn an_endless_template_runs_out_of_fuel() {
        let text = "{% for a in range(9999) %}{% for b in range(9999) %}{{ document }}{% endfor %}{% endfor %}";
        let template = JobTemplate::compile(&job(text, None)).expect("valid");
        assert!(template.render("x", &Fields::default()).is_err());
    }
}
