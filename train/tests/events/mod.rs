//! What may differ between the event files of two equal runs: the wall time of every event, and the scalars `performance/…`.
//! An own reader of the wire format, which changes these bytes alone.
#![allow(dead_code)]

/// A field of a message: its number, and where its bytes are.
struct Field {
    number: u64,
    start: usize,
    end: usize,
}

fn varint(bytes: &[u8], at: &mut usize) -> u64 {
    let mut value = 0;
    for shift in (0..).step_by(7) {
        let byte = bytes[*at];
        *at += 1;
        value |= u64::from(byte & 0x7f) << shift;
        if byte & 0x80 == 0 {
            return value;
        }
    }
    unreachable!("a varint ends")
}

fn fields(bytes: &[u8], start: usize, end: usize) -> Vec<Field> {
    let (mut found, mut at) = (Vec::new(), start);
    while at < end {
        let key = varint(bytes, &mut at);
        let length = match key & 7 {
            0 => {
                let start = at;
                varint(bytes, &mut at);
                found.push(Field { number: key >> 3, start, end: at });
                continue;
            }
            1 => 8,
            2 => varint(bytes, &mut at) as usize,
            5 => 4,
            other => panic!("wire type {other}"),
        };
        found.push(Field { number: key >> 3, start: at, end: at + length });
        at += length;
    }
    assert_eq!(at, end);
    found
}

/// Every event of a file: where it is, wall time, step, and its scalars by tag with their places.
struct Event {
    start: usize,
    length: usize,
    time: Option<(usize, f64)>,
    step: u64,
    scalars: Vec<(String, usize, f32)>,
    tags: Vec<String>,
}

fn events(bytes: &[u8]) -> Vec<Event> {
    let (mut found, mut at) = (Vec::new(), 0);
    while at < bytes.len() {
        let length = u64::from_le_bytes(bytes[at..at + 8].try_into().unwrap()) as usize;
        let start = at + 12;
        let mut event = Event { start, length, time: None, step: 0, scalars: Vec::new(), tags: Vec::new() };
        for field in fields(bytes, start, start + length) {
            match field.number {
                1 => event.time = Some((field.start, f64::from_le_bytes(bytes[field.start..field.end].try_into().unwrap()))),
                2 => event.step = varint(bytes, &mut { field.start }),
                5 => fields(bytes, field.start, field.end).iter().for_each(|value| {
                    let parts = fields(bytes, value.start, value.end);
                    let text = |part: &Field| String::from_utf8(bytes[part.start..part.end].to_vec()).unwrap();
                    let tag = parts.iter().find(|part| part.number == 1).map(text).unwrap();
                    if let Some(scalar) = parts.iter().find(|part| part.number == 2) {
                        let number = f32::from_le_bytes(bytes[scalar.start..scalar.end].try_into().unwrap());
                        event.scalars.push((tag.clone(), scalar.start, number));
                    }
                    event.tags.push(tag);
                }),
                _ => {}
            }
        }
        found.push(event);
        at = start + length + 4;
    }
    found
}

/// Wall time, step, and scalars by tag.
pub type Read = (f64, u64, Vec<(String, f32)>);

/// Every event of a file.
pub fn read(bytes: &[u8]) -> Vec<Read> {
    let plain = |event: Event| {
        let scalars = event.scalars.into_iter().map(|(tag, _, value)| (tag, value)).collect();
        (event.time.map_or(0.0, |time| time.1), event.step, scalars)
    };
    events(bytes).into_iter().map(plain).collect()
}

/// Step and tags of every event.
pub fn tags(bytes: &[u8]) -> Vec<(u64, Vec<String>)> {
    events(bytes).into_iter().map(|event| (event.step, event.tags)).collect()
}

/// The file with zeros where the clock was: wall times, `performance/…` scalars, and the checksums over them.
pub fn timeless(mut bytes: Vec<u8>) -> Vec<u8> {
    for event in events(&bytes) {
        let mut blank = |start: usize, length: usize| bytes[start..start + length].fill(0);
        if let Some((place, _)) = event.time {
            blank(place, 8);
        }
        event.scalars.iter().filter(|(tag, ..)| tag.starts_with("performance/")).for_each(|&(_, place, _)| blank(place, 4));
        blank(event.start + event.length, 4);
    }
    bytes
}

/// The bytes of a run's file that two equal runs share: none of the lock's, which names the process, and of the clock's log.
pub fn lasting(name: &str, bytes: Vec<u8>) -> Option<Vec<u8>> {
    match name.rsplit('/').next().unwrap_or(name) {
        "timing.jsonl" | "run.lock" => None,
        name if name.starts_with("events.out.tfevents") => Some(timeless(bytes)),
        _ => Some(bytes),
    }
}
