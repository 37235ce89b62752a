//! Stand-in for cubecl-llvm without LLVM: satisfies cubecl-cuda's types; the CUDA C++ (NVRTC) backend does the work.
use cubecl_core::ir::{amd::GfxArch, nvidia::SmArch};
use cubecl_core::prelude::KernelDefinition;
use cubecl_runtime::{compiler::{CompilationError, Compiler}, kernel::BufferIOAttr};
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub enum LlvmTarget { #[default] Cpu, Nvptx }
#[derive(Clone, Debug, Default)]
pub struct PlironCompiler { pub target: LlvmTarget }
#[derive(Clone, Debug, Default)]
pub struct PlironOptions { pub cpu_buffer_alignment: Option<u32>, pub arch: Option<GfxArch>, pub sm_arch: Option<SmArch>, pub ptx_version: Option<nvptx::ptx_version::PtxVersion>, pub grid_constants: bool }
#[derive(Clone, Debug)]
pub struct NvptxModule { pub ptx: Vec<core::ffi::c_char>, pub entrypoint: String, pub ir: String, pub shared_memory_size: usize, pub io: Vec<BufferIOAttr> }
#[derive(Clone)]
pub enum PlironArtifact { NvptxCode(NvptxModule), #[doc(hidden)] Other }
impl core::fmt::Display for PlironArtifact { fn fmt(&self, f: &mut core::fmt::Formatter<'_>) -> core::fmt::Result { f.write_str("stub") } }
impl Compiler for PlironCompiler {
    type Representation = PlironArtifact;
    type CompilationOptions = PlironOptions;
    fn compile(&mut self, _k: KernelDefinition, _o: &PlironOptions) -> Result<PlironArtifact, CompilationError> {
        Err(CompilationError::Generic { reason: "built without LLVM: enable cubecl-cuda/cpp".into(), backtrace: cubecl_environment::backtrace::BackTrace::capture() })
    }
    fn extension(&self) -> &'static str { "ll" }
    fn lang_tag(&self) -> &'static str { "llvm" }
}
pub mod nvptx { pub mod ptx_version {
    #[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)] pub struct PtxVersion(u32);
    impl PtxVersion { pub fn for_driver(_d: i32) -> Option<Self> { None } }
    impl core::fmt::Display for PtxVersion { fn fmt(&self, f: &mut core::fmt::Formatter<'_>) -> core::fmt::Result { write!(f, "ptx{}", self.0) } }
} }
pub mod shared { pub mod lowered_features {
    #[derive(Clone, Copy, Debug, PartialEq, Eq)] pub enum GpuTarget { Nvptx }
    pub fn restrict_features(_p: &mut cubecl_core::ir::DeviceProperties, _t: GpuTarget) {}
} }
