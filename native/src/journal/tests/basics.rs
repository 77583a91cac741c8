use super::super::Records;
use super::*;

#[test]
fn a_reopened_journal_gives_the_state_that_was_committed() {
    let folder = folder();
    let path = folder.path().join("journal");
    let records = vec![
        input(0, &[work(1), work(2)], false),
        input(1, &[work(3)], false),
        start(&[work(1), work(2)]),
        result(work(1), "one é \u{0} \n", &[]),
    ];
    let (journal, mut state) = open(&path, "boot");
    for (record, (offset, crc)) in records.iter().zip(commit(&journal, &records)) {
        assert_eq!(
            Records::open(&path)
                .expect("opens")
                .at(offset, Some(crc))
                .expect("good"),
            *record
        );
        state.apply(record, offset);
    }
    assert_eq!(state.outstanding(), vec![work(2), work(3)]);
    let offset = state.result(&work(1)).expect("a result").offset;
    let records = Records::sweep(&path).expect("opens");
    let text = records
        .result(&work(1), offset, None)
        .expect("readable")
        .output;
    assert_eq!(text, "one é \u{0} \n");
    assert!(
        records.result(&work(2), offset, None).is_err(),
        "other work"
    );
    assert!(records.input(offset, None).is_err(), "not an input");
    assert!(records.at(offset + 1, None).is_err(), "no frame");
    assert!(records.at(offset, Some(1)).is_err(), "another record");
    assert!(records.at(1 << 40, None).is_err(), "behind the end");
    drop(journal);
    let (replayed, _) = super::super::reader::replay(&path).expect("replays");
    assert_eq!(replayed, state);
    let (journal, state) = open(&path, "boot");
    assert_eq!(state.incarnation, 2);
    assert_eq!(
        state.suspects().into_keys().collect::<Vec<_>>(),
        vec![work(2)]
    );
    journal.close(5).expect("closes");
    assert!(
        super::super::reader::replay(&path)
            .expect("replays")
            .0
            .closed
    );
}

#[test]
fn another_plan_is_refused_and_nothing_is_written() {
    let folder = folder();
    let path = folder.path().join("journal");
    drop(open(&path, "boot"));
    let before = std::fs::read(&path).expect("readable");
    let mut other = life("boot");
    other.plan_key = Digest([1; 32]);
    assert!(Journal::open(&path, Durability::Power, other).is_err());
    assert_eq!(std::fs::read(&path).expect("readable"), before);
}

#[test]
fn a_deleted_or_replaced_folder_stops_the_run_at_the_next_flush() {
    let folder = folder();
    let run = folder.path().join("run");
    std::fs::create_dir(&run).expect("made");
    let (journal, _) = open(&run.join("journal"), "boot");
    std::fs::remove_dir_all(&run).expect("removed");
    std::fs::create_dir(&run).expect("made again");
    std::fs::write(run.join("journal"), b"other").expect("written");
    journal.append(&start(&[work(1)]), None).expect("queued");
    assert!(journal.sync().is_err());
    assert!(journal.append(&start(&[work(2)]), None).is_err());
    assert!(matches!(journal.acks().recv(), Ok(Ack::Failed(_))));
    assert!(journal.close(1).is_err());
    assert_eq!(
        std::fs::read(run.join("journal")).expect("readable"),
        b"other"
    );
}

#[test]
fn an_input_record_of_a_runner_that_knew_neither_readers_nor_places_is_read_and_written_as_it_was()
{
    let older = r#"{"kind":"input","ordinal":{"file":0,"record":0},"source":"a.txt","doc_id":null,"stamp":null,
        "outcome":{"state":"pending","parts":[{"work_id":"WORK","span":[0,4]}],"reduce":false},
        "text_bytes":4,"covered_bytes":4,"why":"new"}"#
        .replace("WORK", &work(1).to_hex());
    let record: Record = serde_json::from_str(&older).expect("an older record");
    let Record::Input(input) = &record else {
        panic!("{record:?}")
    };
    assert_eq!((&input.reader, &input.unread), (&None, &None));
    let written = serde_json::to_value(&record).expect("plain data");
    let older: serde_json::Value = serde_json::from_str(&older).expect("JSON");
    assert_eq!(written, older);
}
