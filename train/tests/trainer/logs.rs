use std::time::Duration;

use dmdx_train::session::logs::{LogLengths, LoggedPicture, Logs, Metrics, Pace, TimingLine, read_metrics};
use dmdx_train::session::tensorboard::Moment;
use dmdx_train::session::{RunFolder, tensorboard};

use super::events;

/// CRC-32C bit by bit, after its definition (reflected polynomial 0x82f63b78).
fn crc32c(bytes: &[u8]) -> u32 {
    !bytes.iter().fold(!0u32, |crc, &byte| {
        (0..8).fold(crc ^ u32::from(byte), |crc, _| if crc & 1 == 1 { crc >> 1 ^ 0x82f6_3b78 } else { crc >> 1 })
    })
}

fn masked(bytes: &[u8]) -> u32 {
    let crc = crc32c(bytes);
    crc.rotate_right(15).wrapping_add(0xa282_ead8)
}

/// Splits an event file into its records, checking both checksums of each.
fn records(mut bytes: &[u8]) -> Vec<Vec<u8>> {
    let mut records = Vec::new();
    while !bytes.is_empty() {
        let length = u64::from_le_bytes(bytes[..8].try_into().unwrap()) as usize;
        assert_eq!(u32::from_le_bytes(bytes[8..12].try_into().unwrap()), masked(&bytes[..8]));
        let data = &bytes[12..12 + length];
        assert_eq!(u32::from_le_bytes(bytes[12 + length..16 + length].try_into().unwrap()), masked(data));
        records.push(data.to_vec());
        bytes = &bytes[16 + length..];
    }
    records
}

#[test]
fn event_files_are_framed_as_tensorboard_reads_them() {
    // The test vector of RFC 3720, B.4.
    assert_eq!(crc32c(&[0; 32]), 0x8a91_36aa);
    let moment = |time: f64, step| Moment { time, step };
    let mut bytes = tensorboard::file_version(1.5);
    bytes.extend(tensorboard::scalars(moment(300.25, 3), [("adp/loss".to_string(), 0.5)].into_iter()));
    bytes.extend(tensorboard::image(moment(301.0, 4), "s", 2, 1, vec![1, 2, 3]));
    bytes.extend(tensorboard::text(moment(302.0, 0), "t", "hi"));
    let records = records(&bytes);
    let time = |seconds: f64| [&[9][..], &seconds.to_le_bytes()].concat();
    assert_eq!(records[0], [time(1.5), b"\x1a\x0dbrain.Event:2".to_vec()].concat());
    let scalar = [time(300.25), vec![0x10, 3, 0x2a, 17, 0x0a, 15, 0x0a, 8], b"adp/loss".to_vec(), vec![0x15, 0, 0, 0, 0x3f]];
    assert_eq!(records[1], scalar.concat());
    let image =
        [time(301.0), vec![0x10, 4, 0x2a, 18, 0x0a, 16, 0x0a, 1, b's', 0x22, 11, 8, 1, 0x10, 2, 0x18, 3, 0x22, 3, 1, 2, 3]];
    assert_eq!(records[2], image.concat());
    // A string tensor without axes for the page of texts: field 9 is the metadata, 8 the tensor.
    let text = [
        time(302.0),
        vec![0x2a, 25, 0x0a, 23, 0x0a, 1, b't', 0x42, 8, 8, 7, 0x12, 0, 0x42, 2, b'h', b'i', 0x4a, 8, 0x0a, 6, 0x0a, 4],
        b"text".to_vec(),
    ];
    assert_eq!(records[3], text.concat());
    assert_eq!(events::tags(&bytes)[1..], [(3, vec!["adp/loss".into()]), (4, vec!["s".into()]), (0, vec!["t".into()])]);
}

#[test]
fn logs_continue_where_they_were_cut() {
    let folder = tempfile::tempdir().unwrap();
    let run = RunFolder::create(folder.path()).unwrap();
    let numbers = |index: u64| Metrics::from([("loss_a".to_string(), index as f64), ("b".to_string(), f64::NAN)]);
    let pace = Pace { took: Duration::from_millis(500), samples: 8 };
    let write = |logs: &mut Logs, phase, index| logs.iteration(phase, index, &numbers(index), pace).unwrap();
    let started = tensorboard::now();
    let mut logs = Logs::open(&run, LogLengths::default()).unwrap();
    write(&mut logs, "adp", 0);
    let kept = logs.sync().unwrap();
    assert_eq!(kept.iterations, 1);
    write(&mut logs, "adp", 1);
    write(&mut logs, "adp", 2);
    logs.image("samples", LoggedPicture { width: 2, height: 2, png: vec![0] }).unwrap();
    drop(logs);
    // Half a line, as a killed process leaves it.
    let timing = std::fs::read(run.timing()).unwrap();
    std::fs::write(run.timing(), &timing[..timing.len() - 9]).unwrap();
    let mut logs = Logs::open(&run, kept).unwrap();
    write(&mut logs, "adp", 2);
    write(&mut logs, "adm", 0);
    let lines = read_metrics(&run.metrics()).unwrap();
    assert_eq!(lines.iter().map(|line| (line.iteration, line.step)).collect::<Vec<_>>(), [(0, 0), (2, 1), (0, 2)]);
    assert_eq!((lines[1].metrics["loss_a"], lines[1].metrics["b"]), (Some(2.0), None));
    let text = std::fs::read_to_string(run.metrics()).unwrap();
    assert_eq!(text.lines().next().unwrap(), r#"{"phase":"adp","iteration":0,"step":0,"b":null,"loss_a":0.0}"#);

    // The steps go on over the phases, the times are those of a clock, and nothing is there twice.
    let event_file = std::fs::read_dir(run.tensorboard()).unwrap().next().unwrap().unwrap().path();
    let bytes = std::fs::read(event_file).unwrap();
    assert_eq!(records(&bytes).len(), 4);
    let found = events::read(&bytes);
    assert_eq!(found.iter().map(|event| event.1).collect::<Vec<_>>(), [0, 0, 1, 2]);
    assert!(found.iter().all(|event| (started..tensorboard::now() + 1e-3).contains(&event.0)));
    assert!(found.windows(2).all(|two| two[0].0 <= two[1].0));
    let tags: Vec<&str> = found[3].2.iter().map(|(tag, _)| tag.as_str()).collect();
    let memory = cfg!(target_os = "linux").then_some("performance/resident_gigabytes");
    let measured = ["adm/b", "adm/loss_a", "performance/seconds_per_iteration", "performance/samples_per_second"];
    assert_eq!(tags, measured.into_iter().chain(memory).collect::<Vec<_>>());
    assert_eq!((found[3].2[2].1, found[3].2[3].1), (0.5, 16.0));
    let timing = std::fs::read_to_string(run.timing()).unwrap();
    let timing: Vec<TimingLine> = timing.lines().map(|line| serde_json::from_str(line).unwrap()).collect();
    assert_eq!(timing.iter().map(|line| (line.step, line.iteration)).collect::<Vec<_>>(), [(0, 0), (1, 2), (2, 0)]);
    assert_eq!((timing[2].seconds, timing[2].samples_per_second), (0.5, 16.0));
    if let Some(bytes) = timing[2].resident_bytes {
        assert!((1 << 20..1 << 40).contains(&bytes), "{bytes} bytes in memory");
    }
    std::fs::write(run.metrics(), "{}\n").unwrap();
    let error = read_metrics(&run.metrics()).unwrap_err().to_string();
    assert!(error.contains("metrics.jsonl is damaged: line 1 is not a record of metrics"), "{error}");
}
