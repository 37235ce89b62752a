//! TensorBoard's event files: protobuf records in TFRecord framing.
//!
//! Every event carries the wall time of its writing, in seconds since 1970, and the step over all phases. The time has always
//! eight bytes and a scalar four, so that equal runs have event files of equal lengths, which differ in the times and in what
//! was measured by the clock (the tags `performance/…`) and in nothing else.

use std::time::{SystemTime, UNIX_EPOCH};

use prost::Message;

/// Seconds since 1970.
pub fn now() -> f64 {
    SystemTime::now().duration_since(UNIX_EPOCH).map_or(0.0, |since| since.as_secs_f64())
}

/// When and where in a run something was logged.
#[derive(Clone, Copy, Debug, PartialEq)]
pub struct Moment {
    /// Seconds since 1970.
    pub time: f64,
    /// Iterations before, over all phases.
    pub step: u64,
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
    #[prost(message, optional, tag = "9")]
    metadata: Option<Metadata>,
    #[prost(oneof = "Payload", tags = "2, 4, 8")]
    payload: Option<Payload>,
}

#[derive(Clone, PartialEq, prost::Oneof)]
enum Payload {
    #[prost(float, tag = "2")]
    Scalar(f32),
    #[prost(message, tag = "4")]
    Image(Image),
    #[prost(message, tag = "8")]
    Tensor(Tensor),
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

/// Which of TensorBoard's pages shows a value.
#[derive(Clone, PartialEq, Message)]
struct Metadata {
    #[prost(message, optional, tag = "1")]
    plugin: Option<Plugin>,
}

#[derive(Clone, PartialEq, Message)]
struct Plugin {
    #[prost(string, tag = "1")]
    name: String,
}

#[derive(Clone, PartialEq, Message)]
struct Tensor {
    #[prost(int32, tag = "1")]
    dtype: i32,
    #[prost(message, optional, tag = "2")]
    shape: Option<TensorShape>,
    #[prost(bytes = "vec", repeated, tag = "8")]
    strings: Vec<Vec<u8>>,
}

/// No axes, so that the tensor is a scalar.
#[derive(Clone, PartialEq, Message)]
struct TensorShape {}

/// The record that every event file begins with.
pub fn file_version(time: f64) -> Vec<u8> {
    record(&Event { wall_time: time, step: 0, what: Some(What::FileVersion("brain.Event:2".to_string())) })
}

/// One record with all scalars of a step.
pub fn scalars(moment: Moment, values: impl Iterator<Item = (String, f64)>) -> Vec<u8> {
    let value = |(tag, value)| SummaryValue { tag, metadata: None, payload: Some(Payload::Scalar(value as f32)) };
    summary(moment, values.map(value).collect())
}

/// One record with a picture, encoded as PNG, of `width` by `height` pixels in RGB.
pub fn image(moment: Moment, tag: &str, width: u32, height: u32, png: Vec<u8>) -> Vec<u8> {
    const RGB: i32 = 3;
    let size = |pixels: u32| i32::try_from(pixels).unwrap_or(i32::MAX);
    let image = Image { height: size(height), width: size(width), colorspace: RGB, encoded: png };
    summary(moment, vec![SummaryValue { tag: tag.to_string(), metadata: None, payload: Some(Payload::Image(image)) }])
}

/// One record with a text in Markdown.
pub fn text(moment: Moment, tag: &str, markdown: &str) -> Vec<u8> {
    const STRING: i32 = 7;
    let metadata = Metadata { plugin: Some(Plugin { name: "text".to_string() }) };
    let strings = vec![markdown.as_bytes().to_vec()];
    let payload = Payload::Tensor(Tensor { dtype: STRING, shape: Some(TensorShape {}), strings });
    summary(moment, vec![SummaryValue { tag: tag.to_string(), metadata: Some(metadata), payload: Some(payload) }])
}

fn summary(moment: Moment, value: Vec<SummaryValue>) -> Vec<u8> {
    let step = i64::try_from(moment.step).unwrap_or(i64::MAX);
    record(&Event { wall_time: moment.time, step, what: Some(What::Summary(Summary { value })) })
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
