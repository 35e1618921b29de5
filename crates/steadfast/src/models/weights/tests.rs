//! GGUF files written here, one for each tensor type, and read back.

use super::*;
use crate::error::Class;
use candle_core::quantized::gguf_file::{self, Value};
use candle_core::quantized::{GgmlDType, QTensor};
use rand::{RngExt, SeedableRng};
use rand_chacha::ChaCha8Rng;

const ROWS: usize = 8;
/// One block of the K types, eight of the others.
const COLUMNS: usize = 256;
const HEADS: usize = 2;

/// Values in [-1, 1).
fn matrix(seed: u64) -> Vec<f32> {
    let mut rng = ChaCha8Rng::seed_from_u64(seed);
    (0..ROWS * COLUMNS)
        .map(|_| rng.random_range(-1f32..1.))
        .collect()
}

/// A GGUF file with these matrices, each [ROWS, COLUMNS], in one type.
fn write_gguf(path: &Path, kind: GgmlDType, matrices: &[(&str, Vec<f32>)]) {
    let quantized: Vec<(&str, QTensor)> = matrices
        .iter()
        .map(|(name, values)| {
            let tensor = Tensor::from_slice(values, (ROWS, COLUMNS), &Device::Cpu).unwrap();
            (*name, QTensor::quantize(&tensor, kind).unwrap())
        })
        .collect();
    let tensors: Vec<(&str, &QTensor)> = quantized.iter().map(|(name, q)| (*name, q)).collect();
    let architecture = Value::String("llama".into());
    let heads = Value::U32(HEADS as u32);
    let metadata = [
        ("general.architecture", &architecture),
        ("llama.attention.head_count", &heads),
    ];
    let mut file = std::fs::File::create(path).unwrap();
    gguf_file::write(&mut file, &metadata, &tensors).unwrap();
}

fn flat(tensor: &Tensor) -> Vec<f32> {
    tensor.flatten_all().unwrap().to_vec1().unwrap()
}

/// The rows of a query projection as llama.cpp's converter leaves them: in each head, row i of the
/// first half, then row i of the second.
fn interleaved(values: &[f32]) -> Vec<f32> {
    let size = ROWS / HEADS;
    let rows: Vec<&[f32]> = values.chunks(COLUMNS).collect();
    let mut mixed = Vec::new();
    for head in rows.chunks(size) {
        for at in 0..size / 2 {
            mixed.extend_from_slice(head[at]);
            mixed.extend_from_slice(head[size / 2 + at]);
        }
    }
    mixed
}

#[test]
fn each_type_reads_back_under_transformers_names() {
    // The largest error of a value in [-1, 1): half a step, or a whole one where the type's range is
    // not symmetric (Q4_0 cuts one end off) or its scales are quantized themselves (K types).
    let types = [
        (GgmlDType::F32, 0.),
        (GgmlDType::F16, 1. / 2048.),
        (GgmlDType::Q8_0, 1. / 127.),
        (GgmlDType::Q6K, 1. / 31.),
        (GgmlDType::Q4_1, 1.1 / 15.),
        (GgmlDType::Q4_0, 1.1 / 8.),
        (GgmlDType::Q5_0, 1.1 / 16.),
        (GgmlDType::Q4K, 2. / 15.),
    ];
    let folder = tempfile::tempdir().unwrap();
    let path = folder.path().join("tiny.gguf");
    let (query, down) = (matrix(1), matrix(2));
    for (kind, tolerance) in types {
        let matrices = [
            ("blk.3.attn_q.weight", interleaved(&query)),
            ("blk.3.ffn_down.weight", down.clone()),
            ("not.of.the.family", down.clone()),
        ];
        write_gguf(&path, kind, &matrices);
        let mut weights = read(&path, Form::Floats, &Device::Cpu).unwrap();
        let mut stored = read(&path, Form::Stored, &Device::Cpu).unwrap();
        assert_eq!(weights.len(), 2, "{:?}", weights.keys());
        for (name, expected) in [
            ("model.layers.3.self_attn.q_proj.weight", &query),
            ("model.layers.3.mlp.down_proj.weight", &down),
        ] {
            let floats = flat(&weights.remove(name).unwrap().into_floats().unwrap());
            let stored = stored.remove(name).unwrap();
            assert!(matches!(stored, Weight::Stored(_)));
            assert_eq!(stored.shape(), [ROWS, COLUMNS]);
            assert_eq!(flat(&stored.into_floats().unwrap()), floats, "{kind:?}");
            let worst = floats
                .iter()
                .zip(expected)
                .map(|(read, written)| (read - written).abs())
                .fold(0., f32::max);
            assert!(worst <= tolerance, "{kind:?}, {name}: {worst}");
            // A coarse type that reads back exactly was not that type.
            assert_eq!(worst == 0., kind == GgmlDType::F32, "{kind:?}: {worst}");
        }
    }
}

#[test]
fn rows_that_do_not_divide_into_heads_are_refused() {
    let folder = tempfile::tempdir().unwrap();
    let path = folder.path().join("tiny.gguf");
    let tensor = Tensor::zeros((6, COLUMNS), DType::F32, &Device::Cpu).unwrap();
    let tensor = QTensor::quantize(&tensor, GgmlDType::F32).unwrap();
    let (architecture, heads) = (Value::String("llama".into()), Value::U32(HEADS as u32));
    let metadata = [
        ("general.architecture", &architecture),
        ("llama.attention.head_count", &heads),
    ];
    let mut file = std::fs::File::create(&path).unwrap();
    gguf_file::write(&mut file, &metadata, &[("blk.0.attn_q.weight", &tensor)]).unwrap();
    let error = read(&path, Form::Floats, &Device::Cpu).unwrap_err();
    assert_eq!(error.class, Class::User);
    assert_eq!(error.place.path.as_deref(), Some(path.as_path()));
    assert_eq!(error.place.field.as_deref(), Some("blk.0.attn_q.weight"));
}

#[test]
fn masks_of_old_files_are_passed_over_and_other_types_are_named() {
    use safetensors::tensor::{Dtype, TensorView};
    let folder = tempfile::tempdir().unwrap();
    let path = folder.path().join("model.safetensors");
    let write = |mask: &str| {
        let floats = [0u8; 16];
        let tensors = [
            (
                mask,
                TensorView::new(Dtype::BOOL, vec![4], &floats[..4]).unwrap(),
            ),
            (
                "w.weight",
                TensorView::new(Dtype::F32, vec![2, 2], &floats).unwrap(),
            ),
        ];
        std::fs::write(&path, safetensors::serialize(tensors, None).unwrap()).unwrap();
        read(folder.path(), Form::Floats, &Device::Cpu)
    };
    let weights = write("gpt_neox.layers.0.attention.bias").unwrap();
    assert_eq!(weights.keys().collect::<Vec<_>>(), ["w.weight"]);
    let mut other = write("mask").unwrap();
    let error = other.remove("mask").unwrap().read().unwrap_err();
    assert!(error.message.contains("BOOL"), "{error}");
    assert_eq!(error.place.field.as_deref(), Some("mask"));
}
