//! The canonical text form: what snapshots store, and what a converted file carries in its header.
//!
//! ```text
//! graph 1 UNet2DConditionModel
//! symbol b 2 "batch"
//! symbol h 4 "latent height / 8"
//! input %0 sample : f32[b, 4, 8*h, 8*h]
//! param conv_in.weight : f32[32, 4, 3, 3]
//! %1 = conv2d %0 @conv_in.weight {"stride":[1,1],"padding":[1,1,1,1],"dilation":[1,1],"groups":1} : f32[b, 32, 8*h, 8*h]  # conv_in
//! mark conv_in %1
//! output sample %1
//! ```
//!
//! Operations are numbered in the order of [`Graph::order`](crate::Graph::order), attributes are the JSON of
//! [`Op`](crate::Op)'s serde form, and names that are not plain words are JSON strings. Printing what was parsed gives the
//! same text. Operations that neither outputs nor marks need are not printed.

mod cursor;
mod limits;
mod parse;
mod print;
mod words;

pub use parse::parse;
pub use print::print;
#[cfg(test)]
use print::{PrintOptions, print_with};

#[cfg(test)]
mod tests;
