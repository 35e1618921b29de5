//! The processes that this one was started with, under `mpirun` or `srun`.

use std::process::ExitCode;
use steadfast::Result;
#[cfg(not(feature = "mpi"))]
use steadfast::group::Alone;
use steadfast::group::Group;
#[cfg(feature = "mpi")]
use steadfast::group::world::World;

/// What launchers tell each process that they start: its place, or how many there are.
#[cfg(feature = "mpi")]
const LAUNCHED: [&str; 3] = ["OMPI_COMM_WORLD_SIZE", "PMI_SIZE", "PMIX_RANK"];

/// How many processes a launcher says that it started together.
fn stated() -> usize {
    let told = ["OMPI_COMM_WORLD_SIZE", "PMI_SIZE", "SLURM_STEP_NUM_TASKS"];
    let sizes = told
        .iter()
        .filter_map(|name| std::env::var(name).ok()?.parse().ok());
    sizes.max().unwrap_or(1)
}

/// This process among the others.
pub struct Processes {
    #[cfg(feature = "mpi")]
    world: Option<World>,
}

#[cfg(feature = "mpi")]
impl Processes {
    /// Meets the others, if there are any.
    ///
    /// # Errors
    /// Their launcher is not of this MPI: each would take itself for the only one.
    pub fn join() -> Result<Self> {
        let launched = LAUNCHED.iter().any(|name| std::env::var_os(name).is_some());
        let world = launched.then(World::join).transpose()?;
        let (met, stated) = (world.as_ref().map_or(1, |world| world.size()), stated());
        if met < stated {
            return Err(steadfast::Error::outside(format!(
                "{stated} processes were started together, and this one meets {met}"
            ))
            .hint("start them with the mpirun of the MPI that this was built with, or with srun --mpi=pmix"));
        }
        Ok(Self { world })
    }

    /// Everybody.
    pub fn group(&self) -> &dyn Group {
        match &self.world {
            Some(world) => world,
            None => &steadfast::group::Alone,
        }
    }

    /// Ends the others with this process, which has failed: they would wait for it forever.
    pub fn fail(&self, code: u8) -> ExitCode {
        match &self.world {
            Some(world) if world.size() > 1 => world.abort(code),
            _ => ExitCode::from(code),
        }
    }
}

#[cfg(not(feature = "mpi"))]
impl Processes {
    /// # Errors
    /// There are others, and no way to speak to them: each would write over the others' files.
    pub fn join() -> Result<Self> {
        if stated() > 1 {
            return Err(steadfast::Error::user(
                "several processes were started together, and this build cannot share work among them",
            )
            .hint("build it with MPI: cargo build --release --features mpi (docs/machines.md)"));
        }
        Ok(Self {})
    }

    /// Nobody else.
    #[expect(clippy::unused_self, reason = "with MPI it is somebody")]
    pub fn group(&self) -> &dyn Group {
        &Alone
    }

    /// The exit code of a process that has failed.
    #[expect(clippy::unused_self, reason = "with MPI it ends the others")]
    pub fn fail(&self, code: u8) -> ExitCode {
        ExitCode::from(code)
    }
}
