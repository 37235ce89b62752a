//! A lowered model: the graph message without its weights, and the weights, still lazy.

use std::collections::BTreeMap;

use dmdx_graph::{DType, Dim, Weight};

use super::proto::{
    DataType, DimensionProto, DimensionValue, GraphProto, ModelProto, OperatorSetIdProto, StringStringEntryProto,
    TensorShapeProto, TensorTypeProto, TypeProto, ValueInfoProto,
};
use super::sizes::SizeNames;

/// What a lowering makes and the writer streams to disk.
#[derive(Clone, Debug)]
pub(crate) struct Model {
    /// Nodes, inputs and outputs; `initializer` is filled by the writer.
    pub(crate) graph: GraphProto,
    /// The weights by initializer name.
    pub(crate) weights: BTreeMap<String, Weight>,
    /// Small constants that engines need while they infer shapes: always written inline.
    pub(crate) constants: BTreeMap<String, Weight>,
    /// Version of the default operator set.
    pub(crate) opset: i64,
    /// ONNX IR version.
    pub(crate) ir_version: i64,
    /// What it is, in words.
    pub(crate) doc: String,
    /// Facts about the file, by key.
    pub(crate) metadata: BTreeMap<String, String>,
}

impl Model {
    /// The model message around a finished graph message. Producer fields are fixed: same input, same bytes.
    pub(super) fn message(&self, graph: GraphProto) -> ModelProto {
        let entry = |(key, value): (&String, &String)| pair(key, value);
        ModelProto {
            ir_version: Some(self.ir_version),
            producer_name: "dmdx".into(),
            producer_version: env!("CARGO_PKG_VERSION").into(),
            doc_string: self.doc.clone(),
            graph: Some(graph),
            opset_import: vec![OperatorSetIdProto { domain: Some(String::new()), version: Some(self.opset) }],
            metadata_props: self.metadata.iter().map(entry).collect(),
        }
    }
}

/// One entry of a string map.
pub(super) fn pair(key: &str, value: &str) -> StringStringEntryProto {
    StringStringEntryProto { key: Some(key.into()), value: Some(value.into()) }
}

/// The ONNX number of an element type.
pub(crate) fn element_type(dtype: DType) -> DataType {
    match dtype {
        DType::F64 => DataType::Double,
        DType::F32 => DataType::Float,
        DType::F16 => DataType::Float16,
        DType::BF16 => DataType::Bfloat16,
        DType::I64 => DataType::Int64,
        DType::I32 => DataType::Int32,
        DType::U8 => DataType::Uint8,
        DType::Bool => DataType::Bool,
    }
}

/// The element type of an ONNX number.
pub(crate) fn dtype_of(number: i64) -> Option<DType> {
    let all = [DType::F64, DType::F32, DType::F16, DType::BF16, DType::I64, DType::I32, DType::U8, DType::Bool];
    all.into_iter().find(|dtype| i64::from(element_type(*dtype) as i32) == number)
}

/// A typed value; a size is a number, a text such as `height/8`, or open where nothing is known of it.
pub(crate) fn value_info(name: &str, dtype: DType, dims: &[Option<Dim>], names: &SizeNames) -> ValueInfoProto {
    let dim = |dim: &Option<Dim>| {
        let value = dim.as_ref().map(|dim| match dim.known() {
            Some(size) => DimensionValue::Value(size as i64),
            None => DimensionValue::Param(names.text(dim)),
        });
        DimensionProto { value }
    };
    let shape = TensorShapeProto { dim: dims.iter().map(dim).collect() };
    let tensor = TensorTypeProto { elem_type: element_type(dtype) as i32, shape: Some(shape) };
    ValueInfoProto { name: name.into(), r#type: Some(TypeProto { tensor_type: Some(tensor) }), doc_string: String::new() }
}
