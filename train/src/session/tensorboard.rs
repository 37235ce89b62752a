//! TensorBoard's event files: protobuf records in TFRecord framing.
//!
//! Events carry a wall time. Ours is the number of the event's iteration over all phases, in seconds, so that two equal
//! runs write equal bytes; TensorBoard's *relative* axis then counts iterations.

use prost::Message;

/// Seconds in TensorBoard's sense, made of an iteration's number.
fn wall_time(iteration: u64) -> f64 {
    iteration as f64
}

#[derive(Clone, PartialEq, Message)]
struct Event {
    #[prost(double, tag = "1")]
    wall_time: f64,
    #[prost(int64, tag = "2")]
    step: i64,
    #[prost(oneof = "What", tags = "3, 5")]
    what: Option<What>,
}

#[derive(Clone, PartialEq, prost::Oneof)]
enum What {
    #[prost(string, tag = "3")]
    FileVersion(String),
    #[prost(message, tag = "5")]
    Summary(Summary),
}

#[derive(Clone, PartialEq, Message)]
struct Summary {
    #[prost(message, repeated, tag = "1")]
    value: Vec<SummaryValue>,
}

#[derive(Clone, PartialEq, Message)]
struct SummaryValue {
    #[prost(string, tag = "1")]
    tag: String,
    #[prost(oneof = "Payload", tags = "2, 4")]
    payload: Option<Payload>,
}

#[derive(Clone, PartialEq, prost::Oneof)]
enum Payload {
    #[prost(float, tag = "2")]
    Scalar(f32),
    #[prost(message, tag = "4")]
    Image(Image),
}

#[derive(Clone, PartialEq, Message)]
struct Image {
    #[prost(int32, tag = "1")]
    height: i32,
    #[prost(int32, tag = "2")]
    width: i32,
    #[prost(int32, tag = "3")]
    colorspace: i32,
    #[prost(bytes = "vec", tag = "4")]
    encoded: Vec<u8>,
}

/// The record that every event file begins with.
pub fn file_version() -> Vec<u8> {
    record(&Event { wall_time: wall_time(0), step: 0, what: Some(What::FileVersion("brain.Event:2".to_string())) })
}

/// One record with all scalars of a step. `iteration` counts over all phases.
pub fn scalars<'a>(iteration: u64, step: u64, values: impl Iterator<Item = (String, &'a f64)>) -> Vec<u8> {
    let value = values.map(|(tag, &value)| SummaryValue { tag, payload: Some(Payload::Scalar(value as f32)) }).collect();
    summary(iteration, step, value)
}

/// One record with a picture, encoded as PNG, of `width` by `height` pixels in RGB.
pub fn image(iteration: u64, step: u64, tag: &str, width: u32, height: u32, png: Vec<u8>) -> Vec<u8> {
    const RGB: i32 = 3;
    let size = |pixels: u32| i32::try_from(pixels).unwrap_or(i32::MAX);
    let image = Image { height: size(height), width: size(width), colorspace: RGB, encoded: png };
    let value = SummaryValue { tag: tag.to_string(), payload: Some(Payload::Image(image)) };
    summary(iteration, step, vec![value])
}

fn summary(iteration: u64, step: u64, value: Vec<SummaryValue>) -> Vec<u8> {
    let step = i64::try_from(step).unwrap_or(i64::MAX);
    record(&Event { wall_time: wall_time(iteration), step, what: Some(What::Summary(Summary { value })) })
}

/// Length, checksum of the length, data, checksum of the data; all little-endian.
fn record(event: &Event) -> Vec<u8> {
    let data = event.encode_to_vec();
    let length = (data.len() as u64).to_le_bytes();
    let mut bytes = Vec::with_capacity(data.len() + 16);
    bytes.extend(length);
    bytes.extend(masked_crc(&length).to_le_bytes());
    bytes.extend(&data);
    bytes.extend(masked_crc(&data).to_le_bytes());
    bytes
}

/// TFRecord's masking of CRC-32C.
fn masked_crc(bytes: &[u8]) -> u32 {
    crc32c::crc32c(bytes).rotate_right(15).wrapping_add(0xa282_ead8)
}
