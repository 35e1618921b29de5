//! Matrix products in the layouts that every device takes.

use crate::{Error, Result};
use candle_core::Tensor;

/// left·right, for matrices or stacks of them.
///
/// # Errors
/// An operand is neither row-major nor the transpose of a row-major matrix. The CUDA backend takes
/// no others; the CPU's does, and would hide the mistake.
pub fn product(left: &Tensor, right: &Tensor) -> Result<Tensor> {
    for operand in [left, right] {
        if !is_plain_or_transposed(operand) {
            return Err(Error::bug(format!(
                "a product of shape {:?} and strides {:?} does not run on every device",
                operand.dims(),
                operand.stride()
            )));
        }
    }
    Ok(left.matmul(right)?)
}

fn is_plain_or_transposed(operand: &Tensor) -> bool {
    let (&[.., rows, columns], &[.., down, along]) = (operand.dims(), operand.stride()) else {
        return false;
    };
    let plain = (along == 1 || columns == 1) && (down == columns || rows == 1);
    let transposed = (along == rows || columns == 1) && (down == 1 || rows == 1);
    operand.rank() <= 3 && (plain || transposed)
}

#[cfg(test)]
mod tests {
    use super::*;
    use candle_core::{DType, Device};

    #[test]
    fn columns_of_a_wider_matrix_are_refused_and_transposes_taken() -> Result<()> {
        let wide = Tensor::ones((4, 6), DType::F32, &Device::Cpu)?;
        assert!(product(&wide.narrow(1, 0, 3)?, &wide.narrow(0, 0, 3)?).is_err());
        assert_eq!(product(&wide.t()?, &wide)?.dims(), [6, 6]);
        let stack = Tensor::ones((2, 4, 6), DType::F32, &Device::Cpu)?;
        let some = stack.narrow(1, 0, 3)?;
        assert_eq!(product(&stack, &some.transpose(1, 2)?)?.dims(), [2, 4, 3]);
        Ok(())
    }
}
