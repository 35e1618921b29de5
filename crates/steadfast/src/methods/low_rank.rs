//! Low-rank changes ΔW = s·B·A: what of them moves, and what is added to the loss. The common
//! ground of all adapter methods; each method's own file says where its factors begin and where they
//! may go.

use super::{Method, Parameters, Penalty};
use crate::digest;
use crate::models::adapter::{Adapter, AdapterGradients, LowRank, divisor};
use crate::models::decoder::Decoder;
use crate::models::families::work_of;
use crate::settings::arm::Hyperparameters;
use crate::{Error, Result};
use candle_core::{Device, Tensor};
use faer::Mat;
use rand::{RngExt, SeedableRng};
use rand_chacha::ChaCha8Rng;
use rayon::prelude::*;
use std::collections::BTreeMap;

/// What an adapter has besides its tensors.
#[derive(Clone, Debug)]
pub struct Form {
    /// Module paths, in order.
    pub modules: Vec<String>,
    /// Rank r.
    pub rank: usize,
    /// α.
    pub alpha: f64,
    /// Scale by α/√r.
    pub rank_stabilized: bool,
}

impl Form {
    /// The linear layers of `decoder` that the hyperparameters target, by the Llama family's names of
    /// their work: other families have other names, or one layer for several of these.
    ///
    /// # Errors
    /// None is targeted, or a part of what one layer does.
    pub fn new(decoder: &Decoder, settings: &Hyperparameters) -> Result<Self> {
        let targeted = |work: &str| settings.targets.iter().any(|target| target == work);
        let mut modules = Vec::new();
        for path in decoder.linear_paths() {
            let name = path.rsplit('.').next().unwrap_or_default();
            let work = work_of(name);
            let wanted = work.iter().filter(|work| targeted(work)).count();
            if wanted > 0 && wanted < work.len() {
                return Err(Error::user(format!(
                    "this model's `{name}` is {} in one, and only a part of them is to be adapted",
                    work.join(", ")
                ))
                .field("targets")
                .hint("target all of them or none, say by `attention` or `mlp`"));
            }
            if wanted > 0 {
                modules.push(path);
            }
        }
        if modules.is_empty() {
            return Err(
                Error::user("this model has none of the layers that are to be adapted")
                    .field("targets")
                    .hint("targets = [\"all\"] adapts every linear layer"),
            );
        }
        Ok(Self {
            modules,
            rank: settings.rank,
            alpha: settings.alpha,
            rank_stabilized: settings.rank_stabilized,
        })
    }

    /// For methods that choose among a layer's own directions, of which [out, in] has `most`: there must be
    /// as many as the rank.
    ///
    /// # Errors
    /// There are fewer.
    pub fn within(self, decoder: &Decoder, most: fn((usize, usize)) -> usize) -> Result<Self> {
        for path in &self.modules {
            let directions = most(decoder.linear_shape(path)?);
            if self.rank > directions {
                return Err(Error::user(format!(
                    "the rank is {}, and `{path}` has {directions} directions to choose from",
                    self.rank
                ))
                .field("rank")
                .hint(format!(
                    "give a rank of at most {directions}, or use method `lora`"
                )));
            }
        }
        Ok(self)
    }

    /// s in ΔW = s·B·A.
    pub fn scale(&self) -> f64 {
        self.alpha / divisor(self.rank as f64, self.rank_stabilized)
    }
}

/// Where A [r, in] may be. Clones share their tensors.
#[derive(Clone, Debug)]
pub enum Inputs {
    /// Anywhere; begins at the given tensor.
    Free(Tensor),
    /// At this tensor, which never moves.
    Fixed(Tensor),
    /// At the identity, which is never multiplied with: B is the change of the weight itself.
    Whole(Tensor),
    /// In the span of the orthonormal rows P [k, in]: A = M·P, and M [r, k] moves.
    Inside(Tensor),
    /// Orthogonal to the orthonormal rows V [k, in]: A = M·(I − VᵀV); begins at the given M.
    Outside(Tensor, Tensor),
}

/// Where B [out, r] may be.
#[derive(Clone, Debug)]
pub enum Outputs {
    /// Anywhere; begins at 0.
    Free,
    /// Anywhere; begins at the given tensor.
    From(Tensor),
    /// Orthogonal to the orthonormal columns U [out, k]: B = (I − UUᵀ)·N; begins at the given N.
    Outside(Tensor, Tensor),
}

/// The moment C of the inputs that a layer's change is measured with.
#[derive(Clone, Debug)]
pub enum Inner {
    /// A never moves, so s²·A·C·Aᵀ [r, r] is all that is needed.
    Narrow(Tensor),
    /// C [in, in], shared by layers with the same input.
    Wide(Tensor),
    /// C = I: tr(ΔW·ΔWᵀ) is the square of the change itself.
    Identity,
}

/// The mean square E‖ΔW·x‖² = tr(ΔW·C·ΔWᵀ) of one layer's change.
#[derive(Clone, Debug)]
pub struct Disturbance {
    /// C, or what is left of it.
    pub inner: Inner,
    /// tr(W·C·Wᵀ): what it is divided by, so that layers compare.
    pub power: f64,
}

/// One adapted layer.
#[derive(Clone, Debug)]
pub struct Site {
    /// Of A.
    pub inputs: Inputs,
    /// Of B.
    pub outputs: Outputs,
    /// Methods that begin inside W change it by s·(B·A − B₀·A₀), which is 0 at the start. In the
    /// adapter that is a change of rank 2r; the base stays as it is.
    pub from_weight: bool,
    /// Known where retained text was read.
    pub disturbance: Option<Disturbance>,
}

impl Site {
    /// A where `inputs` says, B anywhere from 0 on, no disturbance known.
    pub fn at(inputs: Inputs) -> Self {
        Self {
            inputs,
            outputs: Outputs::Free,
            from_weight: false,
            disturbance: None,
        }
    }
}

/// Where PEFT begins A.
pub fn random_a(
    path: &str,
    seed: u64,
    form: &Form,
    width: usize,
    device: &Device,
) -> Result<Tensor> {
    let bound = 1.0 / (width as f32).sqrt();
    let name = format!("{path}.lora_A");
    uniform(&name, seed, (form.rank, width), bound, device)
}

/// A uniform tensor [rows, columns] in ±bound. Each name has its own stream, so that what one tensor
/// starts from does not depend on which others there are.
pub fn uniform(
    name: &str,
    seed: u64,
    shape: (usize, usize),
    bound: f32,
    device: &Device,
) -> Result<Tensor> {
    let mut random = ChaCha8Rng::seed_from_u64(seed);
    let stream = u64::from_str_radix(&digest::of(name)[..16], 16).unwrap_or_default();
    random.set_stream(stream);
    let values: Vec<f32> = (0..shape.0 * shape.1)
        .map(|_| random.random_range(-bound..bound))
        .collect();
    Ok(Tensor::from_vec(values, shape, device)?)
}

/// The frozen weight [out, in] of a linear layer.
pub fn weight(decoder: &Decoder, path: &str) -> Result<Tensor> {
    decoder
        .linear_weight(path)?
        .ok_or_else(|| Error::bug(format!("the decoder has no linear layer {path}")))
}

/// The matrix as an f32 tensor.
pub fn tensor(matrix: &Mat<f64>, device: &Device) -> Result<Tensor> {
    let (rows, columns) = (matrix.nrows(), matrix.ncols());
    let values: Vec<f32> = (0..rows)
        .flat_map(|row| (0..columns).map(move |column| matrix[(row, column)] as f32))
        .collect();
    Ok(Tensor::from_vec(values, (rows, columns), device)?)
}

/// The f32 tensor [rows, columns] as a matrix.
pub fn matrix(tensor: &Tensor) -> Result<Mat<f64>> {
    let rows = tensor.to_vec2::<f32>()?;
    let columns = rows.first().map_or(0, Vec::len);
    Ok(Mat::from_fn(rows.len(), columns, |row, column| {
        f64::from(rows[row][column])
    }))
}

/// tr(W·C·Wᵀ).
pub fn quadratic(weight: &Tensor, moment: &Tensor) -> Result<f64> {
    inner(&weight.matmul(moment)?, weight)
}

/// Sum of the elementwise product.
pub fn inner(left: &Tensor, right: &Tensor) -> Result<f64> {
    Ok(f64::from((left * right)?.sum_all()?.to_scalar::<f32>()?))
}

/// A − A·VᵀV.
fn outside_rows(a: &Tensor, rows: &Tensor) -> Result<Tensor> {
    Ok((a - a.matmul(&rows.t()?)?.matmul(rows)?)?)
}

/// B − UUᵀ·B.
fn outside_columns(b: &Tensor, columns: &Tensor) -> Result<Tensor> {
    Ok((b - columns.matmul(&columns.t()?.matmul(b)?)?)?)
}

/// A method that adapts linear layers.
#[derive(Debug)]
pub struct Adapting {
    name: &'static str,
    form: Form,
    parameters: Parameters,
    sites: BTreeMap<String, Site>,
    /// s·B₀·A₀ of sites that begin inside W, as its factors.
    beginnings: BTreeMap<String, (Tensor, Tensor)>,
    /// Weight of the disturbance in the loss.
    penalty: f64,
}

impl Adapting {
    /// The method `name` with these sites, one for each module of `form`.
    pub fn new(
        name: &'static str,
        decoder: &Decoder,
        form: Form,
        sites: BTreeMap<String, Site>,
        penalty: f64,
        seed: u64,
    ) -> Result<Self> {
        let mut parameters = Parameters::new();
        for (path, site) in &sites {
            match &site.inputs {
                Inputs::Fixed(_) | Inputs::Whole(_) => {}
                Inputs::Free(start) | Inputs::Outside(_, start) => {
                    parameters.insert(format!("{path}.lora_A"), start.clone());
                }
                Inputs::Inside(basis) => {
                    let kept = basis.dim(0)?;
                    let bound = 1.0 / (kept as f32).sqrt();
                    let name = format!("{path}.M");
                    let start = uniform(&name, seed, (form.rank, kept), bound, basis.device())?;
                    parameters.insert(name, start);
                }
            }
            let start = match &site.outputs {
                Outputs::From(start) | Outputs::Outside(_, start) => start.clone(),
                Outputs::Free => {
                    let weight = weight(decoder, path)?;
                    let rank = match site.inputs {
                        Inputs::Whole(_) => weight.dim(1)?,
                        _ => form.rank,
                    };
                    Tensor::zeros((weight.dim(0)?, rank), weight.dtype(), weight.device())?
                }
            };
            parameters.insert(format!("{path}.lora_B"), start);
        }
        let mut method = Self {
            name,
            form,
            parameters,
            sites,
            beginnings: BTreeMap::new(),
            penalty,
        };
        let inside = method.sites.iter().filter(|(_, site)| site.from_weight);
        method.beginnings = inside
            .map(|(path, site)| Ok((path.clone(), (method.a(path, site)?, method.b(path, site)?))))
            .collect::<Result<_>>()?;
        Ok(method)
    }

    fn parameter(&self, path: &str, name: &str) -> Result<Tensor> {
        super::parameter(&self.parameters, &format!("{path}.{name}"))
    }

    /// A [r, in] of one layer as it stands.
    fn a(&self, path: &str, site: &Site) -> Result<Tensor> {
        match &site.inputs {
            Inputs::Free(_) => self.parameter(path, "lora_A"),
            Inputs::Fixed(a) | Inputs::Whole(a) => Ok(a.clone()),
            Inputs::Inside(basis) => Ok(self.parameter(path, "M")?.matmul(basis)?),
            Inputs::Outside(rows, _) => outside_rows(&self.parameter(path, "lora_A")?, rows),
        }
    }

    /// B [out, r] of one layer as it stands.
    fn b(&self, path: &str, site: &Site) -> Result<Tensor> {
        let b = self.parameter(path, "lora_B")?;
        match &site.outputs {
            Outputs::Free | Outputs::From(_) => Ok(b),
            Outputs::Outside(columns, _) => outside_columns(&b, columns),
        }
    }

    /// tr(ΔW·C·ΔWᵀ) of one layer, with its gradients with respect to B and, where it moves, A.
    fn disturbed(
        &self,
        path: &str,
        site: &Site,
        disturbance: &Disturbance,
    ) -> Result<(f64, Tensor, Option<Tensor>)> {
        let b = self.b(path, site)?;
        let square = self.form.scale() * self.form.scale();
        let a = self.a(path, site)?;
        let moved = match &disturbance.inner {
            Inner::Narrow(g) => {
                let pulled = b.matmul(g)?;
                return Ok((inner(&pulled, &b)?, (pulled * 2.0)?, None));
            }
            Inner::Wide(moment) => (a.matmul(moment)? * square)?,
            Inner::Identity => (&a * square)?,
        };
        let pulled = b.matmul(&moved.matmul(&a.t()?)?)?;
        let value = inner(&pulled, &b)?;
        let pull_a = match site.inputs {
            Inputs::Fixed(_) | Inputs::Whole(_) => None,
            _ => Some((b.t()?.matmul(&b)?.matmul(&moved)? * 2.0)?),
        };
        Ok((value, (pulled * 2.0)?, pull_a))
    }

    /// The change of one layer as it stands.
    fn module(&self, path: &str, site: &Site) -> Result<LowRank> {
        if let Inputs::Whole(identity) = &site.inputs {
            let mut whole = LowRank::whole(self.b(path, site)?, identity.clone());
            whole.train_b = true;
            return Ok(whole);
        }
        let (mut a, mut b) = (self.a(path, site)?, self.b(path, site)?);
        if let Some((first_a, first_b)) = self.beginnings.get(path) {
            a = Tensor::cat(&[&a, first_a], 0)?;
            b = Tensor::cat(&[&b, &first_b.neg()?], 1)?;
        }
        Ok(LowRank {
            a,
            b,
            whole: false,
            scale: self.form.scale(),
            train_a: !matches!(site.inputs, Inputs::Fixed(_)),
            train_b: true,
        })
    }

    /// The gradients of one layer's parameters, with its part of the penalty.
    fn pull_back_one(
        &self,
        path: &str,
        site: &Site,
        gradients: &AdapterGradients,
    ) -> Result<(f64, Parameters)> {
        let (mut pulled, mut value) = (Parameters::new(), 0.0);
        let part = |name: &str| super::parameter(gradients, &format!("{path}.{name}"));
        // Of a change counted from its beginning only the first half moves.
        let rank = self.parameter(path, "lora_B")?.dim(1)?;
        let mut of_b = part("lora_B")?.narrow(1, 0, rank)?;
        let mut of_a = match site.inputs {
            Inputs::Fixed(_) | Inputs::Whole(_) => None,
            _ => Some(part("lora_A")?.narrow(0, 0, rank)?),
        };
        if let Some(disturbance) = site.disturbance.as_ref().filter(|_| self.penalty > 0.0) {
            let weight = self.penalty / disturbance.power;
            let (disturbed, more_b, more_a) = self.disturbed(path, site, disturbance)?;
            value = weight * disturbed;
            of_b = (of_b + (more_b * weight)?)?;
            if let (Some(old), Some(more)) = (of_a.take(), more_a) {
                of_a = Some((old + (more * weight)?)?);
            }
        }
        let of_b = match &site.outputs {
            Outputs::Outside(columns, _) => outside_columns(&of_b, columns)?,
            Outputs::Free | Outputs::From(_) => of_b.contiguous()?,
        };
        pulled.insert(format!("{path}.lora_B"), of_b);
        let Some(of_a) = of_a else {
            return Ok((value, pulled));
        };
        let (name, of_a) = match &site.inputs {
            Inputs::Free(_) | Inputs::Fixed(_) | Inputs::Whole(_) => ("lora_A", of_a.contiguous()?),
            Inputs::Outside(rows, _) => ("lora_A", outside_rows(&of_a, rows)?),
            // A = M·P, so ∂/∂M = ∂/∂A·Pᵀ.
            Inputs::Inside(basis) => ("M", of_a.matmul(&basis.t()?)?),
        };
        pulled.insert(format!("{path}.{name}"), of_a);
        Ok((value, pulled))
    }
}

impl Method for Adapting {
    fn name(&self) -> &'static str {
        self.name
    }

    fn parameters(&self) -> &Parameters {
        &self.parameters
    }

    fn set_parameters(&mut self, parameters: Parameters) -> Result<()> {
        super::replace(&mut self.parameters, parameters)
    }

    fn adapter(&self) -> Result<Adapter> {
        let (mut rank, mut alpha) = (self.form.rank, self.form.alpha);
        if !self.beginnings.is_empty() {
            // Of rank 2r, with the same scale.
            rank *= 2;
            alpha *= divisor(2.0, self.form.rank_stabilized);
        }
        let modules = self
            .sites
            .par_iter()
            .map(|(path, site)| Ok((path.clone(), self.module(path, site)?)))
            .collect::<Result<_>>()?;
        Ok(Adapter {
            modules,
            alpha,
            rank,
            rank_stabilized: self.form.rank_stabilized,
            ..Adapter::default()
        })
    }

    fn pull_back(&self, gradients: &AdapterGradients) -> Result<(Parameters, Penalty)> {
        let sites: Vec<(f64, Parameters)> = self
            .sites
            .par_iter()
            .map(|(path, site)| self.pull_back_one(path, site, gradients))
            .collect::<Result<_>>()?;
        // In the order of the layers, however many threads there are.
        let value = sites.iter().fold(0.0, |sum, (value, _)| sum + value);
        let pulled = sites.into_iter().flat_map(|(_, pulled)| pulled).collect();
        Ok((pulled, Penalty { value }))
    }

    fn disturbance(&self) -> Result<Vec<(String, f64)>> {
        self.sites
            .iter()
            .filter_map(|(path, site)| Some((path, site, site.disturbance.as_ref()?)))
            .map(|(path, site, found)| {
                let value = self.disturbed(path, site, found)?.0 / found.power;
                // A trace of squares: only rounding leaves one of nothing below 0.
                Ok((path.clone(), value.max(0.0)))
            })
            .collect()
    }
}
