//! `dmdx-run doctor`: what this machine has, found without loading anything but ONNX Runtime itself.

use std::env::consts::{ARCH, OS};
use std::path::{Path, PathBuf};

use clap::Args;
use dmdx_runtime::Error;
use dmdx_runtime::engine::locate::locate;
use dmdx_runtime::engine::ort::OrtEngine;
use dmdx_runtime::engine::tract;

/// The options of `doctor`.
#[derive(Args)]
pub struct Doctor {
    /// The path of libonnxruntime to examine.
    #[arg(long, value_name = "PATH")]
    onnxruntime: Option<PathBuf>,
}

impl Doctor {
    pub fn run(&self) -> Result<(), Error> {
        println!("dmdx-run      {} on {OS} {ARCH}", env!("CARGO_PKG_VERSION"));
        let threads = std::thread::available_parallelism().map_or(1, usize::from);
        println!("processor     {threads} threads; {}", processor_features().join(" "));
        println!("tract         {} built in", tract::VERSION);
        self.onnxruntime();
        for (name, stems) in [
            ("CUDA driver", &["libcuda.so"][..]),
            ("CUDA runtime", &["libcudart.so"]),
            ("cuDNN", &["libcudnn.so"]),
            ("TensorRT", &["libnvinfer.so"]),
        ] {
            match stems.iter().find_map(|stem| find_library(stem)) {
                Some(path) => println!("{name:<13} {}", path.display()),
                None => println!("{name:<13} not found in LD_LIBRARY_PATH or the system's library folders"),
            }
        }
        if let Ok(version) = std::fs::read_to_string("/proc/driver/nvidia/version") {
            println!("{:<13} {}", "NVIDIA", version.lines().next().unwrap_or_default());
        }
        Ok(())
    }

    fn onnxruntime(&self) {
        let variable = std::env::var("ORT_DYLIB_PATH").unwrap_or_else(|_| "not set".into());
        let flag = self.onnxruntime.as_ref().map_or_else(|| "not given".into(), |path| path.display().to_string());
        println!("onnxruntime   looked for: --onnxruntime ({flag}), ORT_DYLIB_PATH ({variable}), the executable's folder");
        match locate(self.onnxruntime.as_deref()) {
            Ok(library) => {
                println!(
                    "              found through {}: {}, version {}",
                    library.place(),
                    library.path().display(),
                    library.version()
                );
                match OrtEngine::new(&library, 1) {
                    Ok(_) => println!("              loads and starts"),
                    Err(error) => println!("              {}", error.chain()),
                }
            }
            Err(error) => println!("              {}", error.chain()),
        }
    }
}

#[cfg(target_arch = "x86_64")]
fn processor_features() -> Vec<&'static str> {
    let all = [
        ("sse4.2", std::is_x86_feature_detected!("sse4.2")),
        ("avx", std::is_x86_feature_detected!("avx")),
        ("avx2", std::is_x86_feature_detected!("avx2")),
        ("fma", std::is_x86_feature_detected!("fma")),
        ("f16c", std::is_x86_feature_detected!("f16c")),
        ("avx512f", std::is_x86_feature_detected!("avx512f")),
        ("avx512vnni", std::is_x86_feature_detected!("avx512vnni")),
        ("avx512bf16", std::is_x86_feature_detected!("avx512bf16")),
    ];
    all.iter().filter(|(_, has)| *has).map(|(name, _)| *name).collect()
}

#[cfg(target_arch = "aarch64")]
fn processor_features() -> Vec<&'static str> {
    let all = [
        ("neon", std::arch::is_aarch64_feature_detected!("neon")),
        ("fp16", std::arch::is_aarch64_feature_detected!("fp16")),
        ("dotprod", std::arch::is_aarch64_feature_detected!("dotprod")),
        ("i8mm", std::arch::is_aarch64_feature_detected!("i8mm")),
        ("sve", std::arch::is_aarch64_feature_detected!("sve")),
    ];
    all.iter().filter(|(_, has)| *has).map(|(name, _)| *name).collect()
}

#[cfg(not(any(target_arch = "x86_64", target_arch = "aarch64")))]
fn processor_features() -> Vec<&'static str> {
    vec!["no vector units that dmdx knows"]
}

/// The first file whose name starts with `stem`, in the folders that the loader searches.
fn find_library(stem: &str) -> Option<PathBuf> {
    let variable = std::env::var_os("LD_LIBRARY_PATH").unwrap_or_default();
    let system = ["/usr/local/cuda/lib64", "/usr/lib/x86_64-linux-gnu", "/usr/lib/aarch64-linux-gnu", "/usr/lib64", "/usr/lib"];
    let folders = std::env::split_paths(&variable).filter(|path| path.is_absolute()).chain(system.iter().map(PathBuf::from));
    folders.into_iter().find_map(|folder| first_match(&folder, stem))
}

fn first_match(folder: &Path, stem: &str) -> Option<PathBuf> {
    let entries = std::fs::read_dir(folder).ok()?.flatten();
    let paths = entries.filter(|entry| entry.file_name().to_string_lossy().starts_with(stem)).map(|entry| entry.path());
    paths.min()
}
