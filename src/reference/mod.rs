//! The built-in engine: reads a GGUF file and runs `llama` and `qwen2` models on the CPU.

pub mod kernel;
pub mod pool;
pub mod quant;
pub mod tiles;
