use super::*;
use crate::model::Arch;
use crate::model::fixtures::small;
use crate::synth;

fn model(mix: FileMix) -> Vec<u8> {
    let shape = ModelShape { n_embd: 256, head_dim: 64, ..small(Arch::Llama) };
    synth::write_model(&shape, mix, 3, Vec::new()).unwrap()
}

fn quantised(source: &Gguf, mix: FileMix) -> Result<Gguf, QuantizeError> {
    let file = tempfile::tempfile().unwrap();
    let n_threads = NonZero::new(3).unwrap();
    Quantization::new(source, mix)?
        .write_file(&file, n_threads, |_, _| ControlFlow::Continue(()))?;
    let mut bytes = Vec::new();
    io::Read::read_to_end(&mut io::BufReader::new(file), &mut bytes).unwrap();
    Ok(Gguf::parse(bytes).unwrap())
}

#[test]
fn every_mix_has_its_tensors_and_the_metadata_of_its_source() {
    let source = Gguf::parse(model(FileMix::F16)).unwrap();
    let shape = ModelShape::from_gguf(&source).unwrap();
    for &mix in FileMix::ALL {
        let found = quantised(&source, mix).unwrap();
        let types = |gguf: &Gguf| -> Vec<(String, GgmlType)> {
            gguf.tensors().iter().map(|t| (t.name.clone(), t.ty)).collect()
        };
        let mut expected: Vec<(String, GgmlType)> =
            mix.tensors(&shape).into_iter().map(|(t, ty)| (t.name, ty)).collect();
        let mut found_types = types(&found);
        if !mix.is_quantised() {
            expected.sort();
            found_types.sort();
        }
        assert_eq!(found_types, expected, "{mix}");
        assert_eq!(found.u32("general.file_type").unwrap(), mix.file_type());
        for (key, value) in source.header().metadata().filter(|(key, _)| !OWN_KEYS.contains(key)) {
            match value {
                crate::gguf::Value::Array { .. } => {
                    let first = |gguf: &Gguf| {
                        let value = gguf.get(key).unwrap().clone();
                        gguf.head().first_elements(&value, usize::MAX)
                    };
                    assert_eq!(first(&found), first(&source), "{key}");
                }
                value => assert_eq!(found.get(key), Some(value), "{key}"),
            }
        }
    }
}

#[test]
fn rows_are_those_that_the_quantiser_makes_and_vectors_stay_as_they_are() {
    let source = Gguf::parse(model(FileMix::F32)).unwrap();
    let found = quantised(&source, FileMix::Q4_0).unwrap();
    for tensor in found.tensors() {
        let before = source.tensor(&tensor.name).unwrap();
        let data = source.data_of(before);
        if tensor.ty == before.ty {
            assert_eq!(found.data_of(tensor), data, "{}", tensor.name);
            continue;
        }
        let mut values = vec![0.0; before.n_elements() as usize];
        quant::dequantize_row(before.ty, data, &mut values);
        let mut bytes = vec![0; tensor.bytes as usize];
        quant::quantize_row(tensor.ty, &values, &mut bytes);
        assert!(found.data_of(tensor) == bytes, "{}", tensor.name);
    }
}

#[test]
fn what_cannot_be_quantised_is_said_with_its_place() {
    let source = Gguf::parse(model(FileMix::Q8_0)).unwrap();
    let error = quantised(&source, FileMix::Q4_0).err().unwrap().to_string();
    assert!(error.starts_with("tensor `") && error.contains("` is Q8_0"), "{error}");
    assert!(error.contains("hint: take the F16, BF16 or F32 file"), "{error}");

    let mut bytes = model(FileMix::F16);
    let tensor = Gguf::parse(bytes.clone()).unwrap().tensor("blk.0.ffn_up.weight").unwrap().clone();
    let at = tensor.offset as usize + 2 * 300;
    bytes[at..at + 2].copy_from_slice(&half::f16::INFINITY.to_le_bytes());
    let source = Gguf::parse(bytes).unwrap();
    let error = quantised(&source, FileMix::Q4_K_M).err().unwrap().to_string();
    assert!(error.starts_with("tensor `blk.0.ffn_up.weight`, element 300: inf cannot"), "{error}");
}

#[test]
fn it_stops_when_told_to() {
    let source = Gguf::parse(model(FileMix::F16)).unwrap();
    let file = tempfile::tempfile().unwrap();
    let quantization = Quantization::new(&source, FileMix::Q4_0).unwrap();
    let stopped = quantization
        .write_file(&file, NonZero::<usize>::MIN, |done, total| {
            assert!(done <= total);
            ControlFlow::Break(())
        })
        .unwrap_err();
    assert!(matches!(stopped, QuantizeError::Interrupted));
}
