use std::time::Duration;

use dmdx_train::session::logs::LogLengths;
use dmdx_train::session::logs::Metrics;
use dmdx_train::session::logs::{Logs, read_metrics};
use dmdx_train::session::{RunFolder, tensorboard};

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
    let metrics = Metrics::from([("loss".to_string(), 0.5)]);
    let values = metrics.iter().map(|(name, value)| (format!("adp/{name}"), value));
    let mut bytes = tensorboard::file_version();
    bytes.extend(tensorboard::scalars(300, 3, values));
    bytes.extend(tensorboard::image(301, 4, "s", 2, 1, vec![1, 2, 3]));
    let records = records(&bytes);
    let time = |seconds: f64| [&[9][..], &seconds.to_le_bytes()].concat();
    assert_eq!(records[0], b"\x1a\x0dbrain.Event:2", "a wall time of zero is left out");
    let scalar = [time(300.0), vec![0x10, 3, 0x2a, 17, 0x0a, 15, 0x0a, 8], b"adp/loss".to_vec(), vec![0x15, 0, 0, 0, 0x3f]];
    assert_eq!(records[1], scalar.concat());
    let image =
        [time(301.0), vec![0x10, 4, 0x2a, 18, 0x0a, 16, 0x0a, 1, b's', 0x22, 11, 8, 1, 0x10, 2, 0x18, 3, 0x22, 3, 1, 2, 3]];
    assert_eq!(records[2], image.concat());
}

#[test]
fn logs_continue_where_they_were_cut() {
    let folder = tempfile::tempdir().unwrap();
    let run = RunFolder::create(folder.path()).unwrap();
    let numbers = |index: u64| Metrics::from([("loss_a".to_string(), index as f64), ("b".to_string(), f64::NAN)]);
    let write = |logs: &mut Logs, index| logs.iteration("adp", index, &numbers(index), Duration::from_millis(3)).unwrap();
    let mut logs = Logs::open(&run, LogLengths::default()).unwrap();
    write(&mut logs, 0);
    let kept = logs.sync().unwrap();
    assert_eq!(kept.iterations, 1);
    write(&mut logs, 1);
    logs.image("samples", 1, 2, 2, vec![0]).unwrap();
    drop(logs);
    let mut logs = Logs::open(&run, kept).unwrap();
    write(&mut logs, 2);
    let lines = read_metrics(&run.metrics()).unwrap();
    assert_eq!(lines.iter().map(|line| line.iteration).collect::<Vec<_>>(), [0, 2]);
    assert_eq!((lines[1].metrics["loss_a"], lines[1].metrics["b"]), (Some(2.0), None));
    let text = std::fs::read_to_string(run.metrics()).unwrap();
    assert_eq!(text.lines().next().unwrap(), r#"{"phase":"adp","iteration":0,"b":null,"loss_a":0.0}"#);
    let event_file = std::fs::read_dir(run.tensorboard()).unwrap().next().unwrap().unwrap().path();
    assert_eq!(records(&std::fs::read(event_file).unwrap()).len(), 3);
    assert_eq!(std::fs::read_to_string(run.timing()).unwrap().lines().count(), 3);
    std::fs::write(run.metrics(), "{}\n").unwrap();
    let error = read_metrics(&run.metrics()).unwrap_err().to_string();
    assert!(error.contains("metrics.jsonl is damaged: line 1 is not a record of metrics"), "{error}");
}
