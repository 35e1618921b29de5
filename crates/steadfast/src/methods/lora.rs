//! LoRA (Hu et al. 2021, arXiv:2106.09685): ΔW = (α/r)·B·A, both train.
