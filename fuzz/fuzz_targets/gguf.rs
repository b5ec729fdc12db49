//! The reader: any bytes are a file or an error, and everything can be asked of a file.

#![no_main]

use libfuzzer_sys::{Corpus, fuzz_mutator, fuzz_target};
use slmbench::gguf::{Element, Gguf, GgufHead, Value, ValueType};
use slmbench_fuzz::{change, files, justified, most_taken, write_seeds};

fuzz_mutator!(|data: &mut [u8], size: usize, max_size: usize, seed: u32| {
    change(data, size, max_size, seed)
});

fuzz_target!(init: write_seeds(&files()), |data: &[u8]| -> Corpus {
    let ((), most) = most_taken(|| ask_everything(data.to_vec()));
    assert!(most <= justified(data.len()), "{most} bytes taken for a file of {}", data.len());
    Corpus::Keep
});

fn ask_everything(bytes: Vec<u8>) {
    let head = match GgufHead::parse(bytes) {
        Ok(head) => head,
        Err(error) => return assert!(!error.to_string().is_empty()),
    };
    assert_eq!(head.raw_metadata().len(), head.header().metadata().count());
    for (key, value) in head.header().metadata() {
        // Not the values: of two NaN none is the other.
        assert_eq!(head.header().get(key).map(Value::ty), Some(value.ty()));
        let first = head.first_elements(value, 5);
        match value {
            // A truth that is neither is found where somebody reads it.
            Value::Array { element: ValueType::Bool, .. } => {}
            Value::Array { len, .. } => assert_eq!(first.len() as u64, (*len).min(5)),
            _ => assert!(first.is_empty()),
        }
    }
    let Ok(file) = Gguf::new(head) else { return };
    for (key, _) in file.header().metadata() {
        let numbers = (file.u32(key).is_ok(), file.opt_u64(key).is_ok(), file.f32(key).is_ok());
        assert!(!(numbers.0 && numbers.2), "whole and real");
        let _ = (file.bool(key), file.str(key), file.strs(key));
        let of = [arrays::<u8>, arrays::<i8>, arrays::<u16>, arrays::<i32>, arrays::<f32>];
        of.iter()
            .chain(&[arrays::<bool>, arrays::<u64>, arrays::<f64>])
            .for_each(|of| of(&file, key));
    }
    for tensor in file.tensors() {
        assert_eq!(file.data_of(tensor).len() as u64, tensor.bytes);
        assert_eq!(file.tensor(&tensor.name).expect("it is there"), tensor);
        assert!(tensor.end() <= file.file_len());
    }
}

fn arrays<T: Element>(file: &Gguf, key: &str) {
    if let (Ok(list), Some(len)) = (file.array::<T>(key), file.array_len(key)) {
        assert_eq!(list.len() as u64, len);
    }
}
