//! A group of threads, for tests.

use super::Group;
use crate::Result;
use std::sync::{Barrier, Mutex};

struct Table {
    given: Mutex<Vec<Vec<u8>>>,
    all_here: Barrier,
}

struct Seat<'a> {
    rank: usize,
    size: usize,
    table: &'a Table,
}

impl Group for Seat<'_> {
    fn rank(&self) -> usize {
        self.rank
    }

    fn size(&self) -> usize {
        self.size
    }

    fn sum(&self, values: &mut [f32]) -> Result<()> {
        let all = self.gather(bytemuck::cast_slice(values))?;
        values.fill(0.0);
        for one in all {
            for (sum, bytes) in values.iter_mut().zip(one.as_chunks::<4>().0) {
                *sum += f32::from_ne_bytes(*bytes);
            }
        }
        Ok(())
    }

    fn sum_doubles(&self, values: &mut [f64]) -> Result<()> {
        let all = self.gather(bytemuck::cast_slice(values))?;
        values.fill(0.0);
        for one in all {
            for (sum, bytes) in values.iter_mut().zip(one.as_chunks::<8>().0) {
                *sum += f64::from_ne_bytes(*bytes);
            }
        }
        Ok(())
    }

    fn gather(&self, mine: &[u8]) -> Result<Vec<Vec<u8>>> {
        self.table.given.lock().unwrap()[self.rank] = mine.to_vec();
        self.table.all_here.wait();
        let all = self.table.given.lock().unwrap().clone();
        self.table.all_here.wait();
        Ok(all)
    }
}

/// Runs `work` in `size` threads that form a group; what each returns, by rank.
pub fn together<T: Send>(size: usize, work: impl Fn(&dyn Group) -> T + Sync) -> Vec<T> {
    let table = Table {
        given: Mutex::new(vec![Vec::new(); size]),
        all_here: Barrier::new(size),
    };
    let (table, work) = (&table, &work);
    std::thread::scope(|scope| {
        let workers: Vec<_> = (0..size)
            .map(|rank| scope.spawn(move || work(&Seat { rank, size, table })))
            .collect();
        workers
            .into_iter()
            .map(|worker| worker.join().expect("no panic"))
            .collect()
    })
}
