//! CorDA beside the real peft; the numbers are made by `tests/golden/methods.py`.

use super::super::Method;
use super::*;
use crate::models::adapter::AdapterGradients;
use crate::models::decoder::tests::tiny;
use crate::settings::arm::{Length, MethodName};
use crate::training::optimizer::AdamW;
use candle_core::Tensor;
use serde::Deserialize;

#[derive(Deserialize)]
struct Golden {
    rank: usize,
    alpha: f64,
    weight: Vec<Vec<f32>>,
    retained: Vec<Vec<f32>>,
    inputs: Vec<Vec<f32>>,
    wanted: Vec<Vec<f32>>,
    beginning: Vec<Vec<f32>>,
    after: Vec<Vec<f32>>,
}

fn of(rows: &[Vec<f32>]) -> Tensor {
    Tensor::new(rows.to_vec(), &Device::Cpu).unwrap()
}

fn close(found: &Tensor, expected: &[Vec<f32>], tolerance: f32) {
    let expected = of(expected);
    let worst = (found - &expected).unwrap().abs().unwrap();
    let worst = worst.max_all().unwrap().to_scalar::<f32>().unwrap();
    let size = expected.abs().unwrap().max_all().unwrap();
    let size = size.to_scalar::<f32>().unwrap();
    assert!(worst < tolerance * size, "{worst} of {size}");
}

#[test]
fn corda_begins_and_moves_as_pefts() -> Result<()> {
    let golden: Golden =
        serde_json::from_str(include_str!("../../../../../tests/golden/methods.json")).unwrap();
    let form = Form {
        modules: vec!["x".into()],
        rank: golden.rank,
        alpha: golden.alpha,
        rank_stabilized: false,
    };
    let scale = form.scale();
    let (weight, retained) = (of(&golden.weight), of(&golden.retained));
    let rows = matrix(&retained)?;
    // peft's moment is a sum, of rows divided by their largest entry. The size of C does not change
    // what the adapter begins as, only how it is shared out between A and B.
    let largest = golden
        .retained
        .iter()
        .flatten()
        .copied()
        .fold(0.0, f32::max);
    let moment =
        product(rows.transpose(), rows.as_ref()) * faer::Scale(f64::from(largest).powi(-2));
    let (damped, inverse) = damped_inverse(&moment);
    let turned = product(matrix(&weight)?.as_ref(), damped.as_ref());
    let site = smallest(&singular(&turned)?, &form, Some(&inverse), &Device::Cpu)?;
    let (Inputs::Free(a), Outputs::From(b)) = (&site.inputs, &site.outputs) else {
        panic!("the triples move freely");
    };
    close(&(b.matmul(a)? * scale)?, &golden.beginning, 1e-3);

    let sites = BTreeMap::from([("x".to_owned(), site)]);
    let mut method = Adapting::new("corda", &tiny(), form, sites, 0.0, 0)?;
    let (inputs, wanted) = (of(&golden.inputs), of(&golden.wanted));
    let mut optimizer = AdamW::new(0.0);
    let delta = |method: &Adapting| -> Result<(Tensor, Tensor, Tensor)> {
        let module = method.adapter()?.modules.remove("x").unwrap();
        let delta = (module.b.matmul(&module.a)? * module.scale)?;
        Ok((delta, module.a, module.b))
    };
    let (begun, ..) = delta(&method)?;
    assert!(begun.abs()?.max_all()?.to_scalar::<f32>()? < 1e-5);
    for _ in 0..3 {
        let (change, a, b) = delta(&method)?;
        let residue = (inputs.matmul(&(&weight + change)?.t()?)? - &wanted)?;
        let of_change = (residue.t()?.matmul(&inputs)? * (2.0 / residue.elem_count() as f64))?;
        let gradients = AdapterGradients::from([
            ("x.lora_A".to_owned(), (b.t()?.matmul(&of_change)? * scale)?),
            ("x.lora_B".to_owned(), (of_change.matmul(&a.t()?)? * scale)?),
        ]);
        let (gradients, _) = method.pull_back(&gradients)?;
        let updated = optimizer.update(method.parameters(), &gradients, 1e-2)?;
        method.set_parameters(updated)?;
    }
    close(&delta(&method)?.0, &golden.after, 1e-3);
    Ok(())
}

/// Of 12 outputs, as many triples: an adapter of rank 13 would say another rank than its tensors have.
#[test]
fn a_rank_above_what_a_layer_has_is_refused() {
    let decoder = tiny();
    for (method, build) in [
        (MethodName::Milora, milora as fn(&_, &_, _) -> Result<_>),
        (MethodName::Oplora, oplora),
        (MethodName::Osft, osft),
    ] {
        let mut settings = Hyperparameters::defaults(method, Length::Steps(1));
        settings.set_rank(12);
        assert!(build(&decoder, &settings, 0).is_ok(), "{}", method.name());
        settings.set_rank(13);
        let error = build(&decoder, &settings, 0).map(|_| ()).unwrap_err();
        assert!(error.hint.unwrap().contains("at most 12"));
    }
}
