//! Real files, named by the environment: prints what each became, and writes the texts out to be compared with other readers.

use std::ops::ControlFlow;
use std::path::PathBuf;
use std::time::Instant;

use _native::extract::office::{Found, Kind, convert, kind_of, mbox};

use crate::LIMITS;
use crate::meter::peak;

/// `RUNNER_OFFICE_CORPUS`: the folder; `RUNNER_OFFICE_TEXTS`: where the texts go.
#[test]
#[ignore = "needs a folder of real files"]
fn corpus() {
    let folder = PathBuf::from(std::env::var_os("RUNNER_OFFICE_CORPUS").unwrap());
    let texts = std::env::var_os("RUNNER_OFFICE_TEXTS").map(PathBuf::from);
    let mut files: Vec<PathBuf> = std::fs::read_dir(folder)
        .unwrap()
        .map(|file| file.unwrap().path())
        .collect();
    files.sort();
    for file in files {
        let bytes = std::fs::read(&file).unwrap();
        let name = file.file_name().unwrap().to_string_lossy().into_owned();
        let Some(Found::Kind(kind)) = kind_of(&bytes, &file) else {
            println!("{name}: none of ours");
            continue;
        };
        let start = Instant::now();
        let (found, held) = peak(|| match kind {
            Kind::Mbox => {
                let mut all = String::new();
                mbox(&bytes, &LIMITS, &mut |message| {
                    all.push_str(
                        &message.map_or_else(|problem| problem.to_string(), |one| one.text),
                    );
                    all.push('\n');
                    ControlFlow::Continue(())
                });
                Ok(all)
            }
            kind => convert(kind, &bytes, &LIMITS).map(|document| document.text),
        });
        let ms = start.elapsed().as_secs_f64() * 1e3;
        match found {
            Ok(text) => {
                println!(
                    "{name}: {kind:?} {} -> {} bytes, {ms:.2} ms, {} KiB held",
                    bytes.len(),
                    text.len(),
                    held >> 10
                );
                if let Some(texts) = &texts {
                    std::fs::write(texts.join(format!("{name}.md")), text).unwrap();
                }
            }
            Err(problem) => println!("{name}: {kind:?} {problem}"),
        }
    }
}
