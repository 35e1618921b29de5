//! Checkpoints: written atomically, read back bit for bit.
//!
//! `checkpoint-N/` holds `state.safetensors` (parameters and both moments, by name) and `state.json`
//! (where the run stands, and the digest of the tensors). The folder appears by one rename, so a
//! kill leaves it whole or absent; a damaged one is passed over for the one before it.

use super::optimizer::{AdamW, Moments};
use crate::digest;
use crate::events::{Event, Listener};
use crate::group::Group;
use crate::methods::Parameters;
use crate::models::blocks::buffers::Floats;
use crate::runs::atomic;
use crate::{Error, Result};
use candle_core::{DType, Device};
use safetensors::Dtype;
use safetensors::tensor::TensorView;
use serde::{Deserialize, Serialize};
use std::collections::BTreeMap;
use std::path::{Path, PathBuf};

const FORMAT: &str = "steadfast.checkpoint/1";
/// The tensors of a checkpoint.
pub(crate) const TENSORS: &str = "state.safetensors";
/// Where its run stands.
pub(crate) const STATE: &str = "state.json";
/// Older checkpoints than the last few are removed.
const KEPT: usize = 2;
/// How the folder of a checkpoint begins that is being written.
const UNFINISHED: &str = ".checkpoint-";

/// Where a run stands between two steps.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct Progress {
    /// Steps done.
    pub step: usize,
    /// Tokens read so far.
    pub tokens: u64,
    /// Training loss of each step, nats a token.
    pub losses: Vec<f64>,
    /// (step, validation loss in nats a token).
    pub validation: Vec<(usize, f64)>,
    /// Seconds spent, over all sittings.
    pub seconds: f64,
}

#[derive(Serialize, Deserialize)]
struct State {
    format: String,
    /// Digest of the settings and the data: another run's checkpoint is never taken for this one's.
    run: String,
    /// SHA-256 of the tensor file.
    tensors: String,
    weight_decay: f64,
    #[serde(flatten)]
    progress: Progress,
}

/// What a checkpoint is on disk.
struct Files {
    state: String,
    tensors: Vec<u8>,
}

/// All that a step depends on.
#[derive(Clone, Debug)]
pub struct Checkpoint {
    /// Where the run stands.
    pub progress: Progress,
    /// The moving tensors.
    pub parameters: Parameters,
    /// The optimiser with its moments.
    pub optimizer: AdamW,
    /// The parameters at the best validation so far, where early stopping wants them.
    pub best: Option<Parameters>,
}

impl Checkpoint {
    /// Its two files.
    fn encode(&self, run: &str, weight_decay: f64) -> Result<Files> {
        let best = self.best.iter().flatten().map(|tensor| ("best", tensor));
        let parameters = self.parameters.iter().map(|tensor| ("parameter", tensor));
        let tensors: Vec<(String, &[usize], Floats<'_>)> = parameters
            .chain(best)
            .map(|(group, (name, tensor))| {
                Ok((
                    format!("{group}:{name}"),
                    tensor.dims(),
                    Floats::of(tensor)?,
                ))
            })
            .collect::<Result<_>>()?;
        let tensors = tensors
            .iter()
            .map(|(name, shape, numbers)| (name.clone(), *shape, &numbers[..]));
        let moments = self.optimizer.moments().iter().flat_map(|(name, moments)| {
            [("first", &moments.first), ("second", &moments.second)]
                .map(|(group, numbers)| (format!("{group}:{name}"), &*moments.shape, &numbers[..]))
        });
        let views: Vec<(String, TensorView<'_>)> = tensors
            .chain(moments)
            .map(|(name, shape, numbers)| {
                let bytes = bytemuck::cast_slice(numbers);
                Ok((name, TensorView::new(Dtype::F32, shape.to_vec(), bytes)?))
            })
            .collect::<std::result::Result<_, safetensors::SafeTensorError>>()
            .map_err(unwritten)?;
        let tensors = safetensors::serialize(views, None).map_err(unwritten)?;
        let state = State {
            format: FORMAT.into(),
            run: run.into(),
            tensors: digest::of(&tensors),
            weight_decay,
            progress: self.progress.clone(),
        };
        let state = serde_json::to_string_pretty(&state)
            .map_err(|cause| Error::bug("a checkpoint has no JSON form").because(cause))?;
        Ok(Files { state, tensors })
    }

    /// Writes `checkpoint-<step>` into `folder` and removes those that are no longer needed.
    pub fn write(&self, folder: &Path, run: &str, weight_decay: f64) -> Result<PathBuf> {
        let target = folder.join(format!("checkpoint-{}", self.progress.step));
        let failed = |cause: std::io::Error| {
            Error::file("write", &target, cause)
                .hint("check the room on the disk; training goes on from the checkpoint before")
        };
        std::fs::create_dir_all(folder).map_err(failed)?;
        remove_unfinished(folder);
        let work = tempfile::Builder::new()
            .prefix(UNFINISHED)
            .tempdir_in(folder)
            .map_err(failed)?;
        let files = self.encode(run, weight_decay)?;
        atomic::write(&work.path().join(TENSORS), &files.tensors)?;
        atomic::write(&work.path().join(STATE), files.state.as_bytes())?;
        if target.exists() {
            // A damaged one, or one of other settings.
            std::fs::remove_dir_all(&target).map_err(failed)?;
        }
        std::fs::rename(work.path(), &target).map_err(failed)?;
        std::fs::File::open(folder)
            .and_then(|folder| folder.sync_all())
            .map_err(failed)?;
        // Later ones are those of another run: the one just written is the last of this one.
        let mut steps = steps_in(folder);
        steps.retain(|step| *step <= self.progress.step);
        let newest = steps.len().saturating_sub(KEPT);
        for step in steps.drain(..newest) {
            // A leftover only costs room.
            let _ = std::fs::remove_dir_all(folder.join(format!("checkpoint-{step}")));
        }
        Ok(target)
    }

    /// Whether there is one in `folder`, whole or not, of whatever run.
    pub fn any(folder: &Path) -> bool {
        !steps_in(folder).is_empty()
    }

    /// The newest whole checkpoint of this run in `folder`.
    pub fn latest(folder: &Path, run: &str, listener: &dyn Listener) -> Result<Option<Self>> {
        for step in steps_in(folder).into_iter().rev() {
            let path = folder.join(format!("checkpoint-{step}"));
            match Self::read(&path, run) {
                Ok(Some(checkpoint)) => return Ok(Some(checkpoint)),
                Ok(None) => listener.on(Event::Warning {
                    message: format!(
                        "{} belongs to other settings or data: passed over",
                        path.display()
                    ),
                }),
                Err(error) => listener.on(Event::Warning {
                    message: format!("{} is damaged ({error}): passed over", path.display()),
                }),
            }
        }
        Ok(None)
    }

    /// As [`Checkpoint::latest`] of the leader's folder, for all processes.
    pub fn shared(
        group: &dyn Group,
        folder: &Path,
        run: &str,
        weight_decay: f64,
        listener: &dyn Listener,
    ) -> Result<Option<Self>> {
        if group.alone() {
            return Self::latest(folder, run, listener);
        }
        // The state's length, the state, the tensors; nothing where there is no checkpoint.
        let bytes = group.told_bytes(|| {
            let Some(found) = Self::latest(folder, run, listener)? else {
                return Ok(Vec::new());
            };
            let files = found.encode(run, weight_decay)?;
            let length = (files.state.len() as u64).to_le_bytes();
            Ok([&length[..], files.state.as_bytes(), &files.tensors].concat())
        })?;
        let Some((length, rest)) = bytes.split_first_chunk::<8>() else {
            return Ok(None);
        };
        let (state, tensors) = rest.split_at(u64::from_le_bytes(*length) as usize);
        Self::decode(&String::from_utf8_lossy(state), tensors, run)
    }

    fn read(path: &Path, run: &str) -> Result<Option<Self>> {
        let state = path.join(STATE);
        let text =
            std::fs::read_to_string(&state).map_err(|cause| Error::file("read", &state, cause))?;
        let tensors = path.join(TENSORS);
        let bytes =
            std::fs::read(&tensors).map_err(|cause| Error::file("read", &tensors, cause))?;
        Self::decode(&text, &bytes, run)
    }

    /// `None`: of another run.
    fn decode(state: &str, tensors: &[u8], run: &str) -> Result<Option<Self>> {
        let state: State = serde_json::from_str(state)
            .map_err(|cause| Error::user("the state is not readable").because(cause))?;
        if state.format != FORMAT || state.run != run {
            return Ok(None);
        }
        if digest::of(tensors) != state.tensors {
            return Err(Error::user("its digest does not match"));
        }
        let mut groups: BTreeMap<String, Parameters> = BTreeMap::new();
        for (name, tensor) in candle_core::safetensors::load_buffer(tensors, &Device::Cpu)? {
            let Some((group, name)) = name.split_once(':') else {
                return Err(Error::user(format!("the tensor {name} is unknown")));
            };
            groups
                .entry(group.to_owned())
                .or_default()
                .insert(name.to_owned(), tensor);
        }
        let mut take = |group: &str| groups.remove(group).unwrap_or_default();
        let parameters = take("parameter");
        let moments = moments(&parameters, take("first"), take("second"))?;
        let best = Some(take("best")).filter(|best| !best.is_empty());
        Ok(Some(Self {
            optimizer: AdamW::restore(state.weight_decay, state.progress.step as u64, moments),
            progress: state.progress,
            parameters,
            best,
        }))
    }
}

fn unwritten(cause: safetensors::SafeTensorError) -> Error {
    Error::bug("a checkpoint cannot be serialized").because(cause)
}

/// The moments of each parameter, from their tensors.
fn moments(
    parameters: &Parameters,
    mut first: Parameters,
    mut second: Parameters,
) -> Result<BTreeMap<String, Moments>> {
    let mut moments = BTreeMap::new();
    for (name, parameter) in parameters {
        let take = |tensors: &mut Parameters| -> Result<Vec<f32>> {
            let tensor = tensors
                .remove(name)
                .filter(|tensor| tensor.dims() == parameter.dims())
                .filter(|tensor| tensor.dtype() == DType::F32)
                .ok_or_else(|| Error::user(format!("{name} lacks a moment of its own shape")))?;
            Ok(Floats::of(&tensor)?.to_vec())
        };
        let own = Moments {
            shape: parameter.dims().to_vec(),
            first: take(&mut first)?,
            second: take(&mut second)?,
        };
        moments.insert(name.clone(), own);
    }
    match first.keys().chain(second.keys()).next() {
        Some(name) => Err(Error::user(format!("{name} has a moment and no value"))),
        None => Ok(moments),
    }
}

/// What kills have left of checkpoints that were being written: as much room each as a whole one.
fn remove_unfinished(folder: &Path) {
    for entry in std::fs::read_dir(folder).into_iter().flatten().flatten() {
        if entry.file_name().to_string_lossy().starts_with(UNFINISHED) {
            // A leftover only costs room.
            let _ = std::fs::remove_dir_all(entry.path());
        }
    }
}

/// Steps of the checkpoints in `folder`, in order.
fn steps_in(folder: &Path) -> Vec<usize> {
    let mut steps: Vec<usize> = std::fs::read_dir(folder)
        .into_iter()
        .flatten()
        .filter_map(|entry| {
            entry
                .ok()?
                .file_name()
                .to_str()?
                .strip_prefix("checkpoint-")?
                .parse()
                .ok()
        })
        .collect();
    steps.sort_unstable();
    steps
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::events::Silent;
    use candle_core::Tensor;

    fn at(step: usize) -> Checkpoint {
        let tensor = Tensor::new(&[1f32 / 3., step as f32], &Device::Cpu).unwrap();
        let named = Parameters::from([("w".to_owned(), tensor)]);
        let mut optimizer = AdamW::new(0.0);
        optimizer.update(&named, &named, 0.1).unwrap();
        let progress = Progress {
            step,
            tokens: 7,
            losses: vec![0.1 + 0.2],
            validation: vec![],
            seconds: 1.0,
        };
        Checkpoint {
            progress,
            parameters: named,
            optimizer,
            best: None,
        }
    }

    #[test]
    fn the_newest_whole_one_is_read_back_and_a_damaged_one_passed_over() {
        let folder = tempfile::tempdir().unwrap();
        for step in [1, 2, 3] {
            at(step).write(folder.path(), "run", 0.0).unwrap();
        }
        assert_eq!(steps_in(folder.path()), [2, 3]);
        let read = Checkpoint::latest(folder.path(), "run", &Silent)
            .unwrap()
            .unwrap();
        assert_eq!(read.progress, at(3).progress);
        assert_eq!(
            read.parameters["w"].to_vec1::<f32>().unwrap(),
            [1. / 3., 3.]
        );

        // Training anew with other settings: the one just written is never the one that is removed.
        at(1).write(folder.path(), "another", 0.0).unwrap();
        let read = Checkpoint::latest(folder.path(), "another", &Silent)
            .unwrap()
            .unwrap();
        assert_eq!(read.progress.step, 1);
        assert_eq!(steps_in(folder.path()), [1, 2, 3]);

        // What a kill has left goes with the next one.
        let left = folder.path().join(".checkpoint-killed");
        std::fs::create_dir(&left).unwrap();
        std::fs::write(left.join(TENSORS), "half of").unwrap();
        at(1).write(folder.path(), "another", 0.0).unwrap();
        assert!(!left.exists());
        std::fs::remove_dir_all(folder.path().join("checkpoint-1")).unwrap();

        let tensors = folder.path().join("checkpoint-3").join(TENSORS);
        let mut bytes = std::fs::read(&tensors).unwrap();
        *bytes.last_mut().unwrap() ^= 1;
        std::fs::write(&tensors, bytes).unwrap();
        let read = Checkpoint::latest(folder.path(), "run", &Silent)
            .unwrap()
            .unwrap();
        assert_eq!(read.progress.step, 2);
        assert!(
            Checkpoint::latest(folder.path(), "another", &Silent)
                .unwrap()
                .is_none()
        );
    }
}
