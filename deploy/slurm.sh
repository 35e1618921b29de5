#!/usr/bin/env bash
#SBATCH --job-name=steadfast
#SBATCH --nodes=4
#SBATCH --ntasks-per-node=1
#SBATCH --cpus-per-task=16
#SBATCH --time=04:00:00
#SBATCH --output=steadfast-%j.log
# One process a node, all cores of its share for each. Submit it with the folders that every node sees:
#
#     sbatch deploy/slurm.sh /shared/chats.jsonl /shared/adapters/hotel
#
# Sent again after a node was lost or the time was over, it goes on from the last checkpoint.
# With GPUs: build with `--features mpi,cuda`, add `#SBATCH --gpus-per-task=1` and one task a GPU above,
# and `--device cuda` below: Slurm shows each process its own card alone.
set -euo pipefail
data=$1
output=$2

# The model is fetched once, by the first process; the others find it here.
export HF_HOME=${HF_HOME:-$(dirname "$output")/models}

srun --mpi=pmix steadfast tune \
    --data "$data" --output "$output" --resume \
    --method null-space --epochs 1 --threads "$SLURM_CPUS_PER_TASK"
