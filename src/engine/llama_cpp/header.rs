//! What llama.cpp says of a file whose tensors it does not read: how many parameters it counts, and
//! which types its quantiser would give them. The file's data may be a hole, but where the quantiser
//! is to make a file of it.

use std::path::Path;

use super::{ffi, log};
use crate::engine::EngineError;
use crate::ggml::GgmlType;

/// A tensor as the quantiser would write it.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct QuantisedTensor {
    /// Its name.
    pub name: String,
    /// Its dimensions in ggml's order, without trailing ones.
    pub dims: Vec<u64>,
    /// The type it would get.
    pub ty: GgmlType,
}

/// Parameters of the file at `path` as llama.cpp counts them. It has then found every tensor it
/// needs, in the dimensions it needs, and no other.
pub fn n_params(path: &Path) -> Result<u64, EngineError> {
    ffi::start();
    let _alone = log::begin(false);
    match ffi::Model::load_header(path) {
        Some(model) => Ok(model.n_params()),
        None => Err(refused()),
    }
}

/// The tensors of the unquantised file at `path` in the order and the types in which the quantiser
/// would write them for `file_type` (`enum llama_ftype`).
pub fn quantised_tensors(path: &Path, file_type: u32) -> Result<Vec<QuantisedTensor>, EngineError> {
    ffi::start();
    let _alone = log::begin(false);
    if !ffi::quantize(path, None, file_type) {
        return Err(refused());
    }
    let lines = log::lines();
    Ok(lines.iter().filter_map(|(_, line)| quantised_tensor(line)).collect())
}

/// Has llama.cpp's quantiser make the file `out` of `file_type` of the one at `path`.
pub fn quantize(path: &Path, out: &Path, file_type: u32) -> Result<(), EngineError> {
    ffi::start();
    let _alone = log::begin(false);
    if ffi::quantize(path, Some(out), file_type) { Ok(()) } else { Err(refused()) }
}

fn refused() -> EngineError {
    EngineError::Model(log::errors(&log::lines()))
}

/// Reads `[   1/  21] name - [  256,   700,     1,     1], type =    f16, size = … MiB (q8_0)`,
/// where a tensor that keeps its type has no type at the end.
fn quantised_tensor(line: &str) -> Option<QuantisedTensor> {
    let (_, rest) = line.strip_prefix('[')?.split_once("] ")?;
    let (name, rest) = rest.split_once(" - [")?;
    let (dims, rest) = rest.split_once("], type = ")?;
    let (source, rest) = rest.split_once(", size = ")?;
    let target = match rest.rsplit_once('(') {
        Some((_, target)) => target.trim_end().strip_suffix(')')?,
        None => source,
    };
    let mut dims = dims.split(',').map(|n| n.trim().parse().ok()).collect::<Option<Vec<u64>>>()?;
    while dims.len() > 1 && dims.last() == Some(&1) {
        dims.pop();
    }
    Some(QuantisedTensor { name: name.trim().to_owned(), dims, ty: target.trim().parse().ok()? })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_quantisers_lines_are_read() {
        let line = "[   2/  21] token_embd.weight                    - [  256,   700,     1,     \
                    1], type =    f16, size =     0.34 MiB ->     0.18 MiB (q8_0)";
        let found = quantised_tensor(line).unwrap();
        assert_eq!(found.name, "token_embd.weight");
        assert_eq!((found.dims, found.ty), (vec![256, 700], GgmlType::Q8_0));
        let line = "[   1/  21] output_norm.weight                   - [  256,     1,     1,     \
                    1], type =    f32, size =    0.001 MiB";
        let found = quantised_tensor(line).unwrap();
        assert_eq!((found.dims, found.ty), (vec![256], GgmlType::F32));
        assert_eq!(quantised_tensor("llama_model_quantize_impl: model size = 1 MiB"), None);
    }
}
