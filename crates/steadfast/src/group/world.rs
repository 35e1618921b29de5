//! The processes that `mpirun` or `srun` started together, over MPI.

use super::Group;
use crate::{Error, Result};
use mpi::Count;
use mpi::collective::SystemOperation;
use mpi::datatype::PartitionMut;
use mpi::environment::Universe;
use mpi::topology::SimpleCommunicator;
use mpi::traits::{Communicator, CommunicatorCollectives, Equivalence};

/// Elements of one message: a count in MPI is a 32-bit number.
const ELEMENTS: usize = 1 << 28;

/// Every process of this run. MPI ends when it is dropped.
pub struct World {
    everybody: SimpleCommunicator,
    _universe: Universe,
}

impl World {
    /// Meets the others. All calls must come from the thread that this one comes from.
    ///
    /// # Errors
    /// MPI runs in this process already, or cannot run beside threads.
    pub fn join() -> Result<Self> {
        let (universe, threading) = mpi::initialize_with_threading(mpi::Threading::Funneled)
            .ok_or_else(|| Error::bug("MPI was started twice"))?;
        if threading < mpi::Threading::Funneled {
            return Err(Error::outside("this MPI cannot run beside threads")
                .hint("use an Open MPI or MPICH that was built with threads"));
        }
        Ok(Self {
            everybody: universe.world(),
            _universe: universe,
        })
    }

    /// Ends every process of this run.
    pub fn abort(&self, code: u8) -> ! {
        self.everybody.abort(code.into())
    }

    fn sum_in_pieces<T: Copy + Equivalence>(&self, values: &mut [T]) {
        for piece in values.chunks_mut(ELEMENTS) {
            let mine = piece.to_vec();
            self.everybody
                .all_reduce_into(&mine[..], piece, SystemOperation::sum());
        }
    }
}

impl Group for World {
    fn rank(&self) -> usize {
        self.everybody.rank() as usize
    }

    fn size(&self) -> usize {
        self.everybody.size() as usize
    }

    fn sum(&self, values: &mut [f32]) -> Result<()> {
        self.sum_in_pieces(values);
        Ok(())
    }

    fn sum_doubles(&self, values: &mut [f64]) -> Result<()> {
        self.sum_in_pieces(values);
        Ok(())
    }

    fn gather(&self, mine: &[u8]) -> Result<Vec<Vec<u8>>> {
        // No message may be empty: Rust's address of nothing is 1, which Open MPI takes for MPI_IN_PLACE.
        let mine = &[mine, &[0]].concat()[..];
        let mut lengths = vec![0u64; self.size()];
        self.everybody
            .all_gather_into(&(mine.len() as u64), &mut lengths[..]);
        let total: u64 = lengths.iter().sum();
        if total > Count::MAX as u64 {
            return Err(Error::outside(format!(
                "{total} bytes are more than MPI carries in one message"
            ))
            .hint("train fewer weights, or in one process"));
        }
        let counts: Vec<Count> = lengths.iter().map(|&length| length as Count).collect();
        let starts: Vec<Count> = counts
            .iter()
            .scan(0, |next, count| {
                let start = *next;
                *next += count;
                Some(start)
            })
            .collect();
        let mut all = vec![0u8; total as usize];
        let mut parts = PartitionMut::new(&mut all[..], counts, starts);
        self.everybody.all_gather_varcount_into(mine, &mut parts);
        let mut rest = all.as_slice();
        Ok(lengths
            .iter()
            .map(|&length| {
                let (one, others) = rest.split_at(length as usize);
                rest = others;
                one[..one.len() - 1].to_vec()
            })
            .collect())
    }
}
