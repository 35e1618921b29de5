// The operations of mod.rs on a card. One block of threads a row; every sum is made in the same order each time.
//
// Parameters, as cuda.rs gives them: what is written, what is read, the sizes, the numbers.

// NVRTC knows no INFINITY.
#define LEAST __int_as_float(0xff800000)

extern "C" {

__device__ __forceinline__ float sum_of_warp(float value) {
  for (int apart = 16; apart > 0; apart /= 2) value += __shfl_xor_sync(0xffffffff, value, apart);
  return value;
}

__device__ __forceinline__ float most_of_warp(float value) {
  for (int apart = 16; apart > 0; apart /= 2) value = fmaxf(value, __shfl_xor_sync(0xffffffff, value, apart));
  return value;
}

// The sum over the block, known to all its threads. The block has whole warps, at most 32.
__device__ float sum_of_block(float value) {
  __shared__ float warps[32];
  const unsigned warp = threadIdx.x / 32, lane = threadIdx.x % 32, count = blockDim.x / 32;
  value = sum_of_warp(value);
  __syncthreads();
  if (lane == 0) warps[warp] = value;
  __syncthreads();
  return sum_of_warp(lane < count ? warps[lane] : 0.0f);
}

__device__ float most_of_block(float value) {
  __shared__ float warps[32];
  const unsigned warp = threadIdx.x / 32, lane = threadIdx.x % 32, count = blockDim.x / 32;
  value = most_of_warp(value);
  __syncthreads();
  if (lane == 0) warps[warp] = value;
  __syncthreads();
  return most_of_warp(lane < count ? warps[lane] : LEAST);
}

// The largest of a row, and ln of the sum of the exponentials of what the others are below it.
__device__ float2 log_sum(const float *row, unsigned width) {
  float most = LEAST;
  for (unsigned i = threadIdx.x; i < width; i += blockDim.x) most = fmaxf(most, row[i]);
  most = most_of_block(most);
  float sum = 0.0f;
  for (unsigned i = threadIdx.x; i < width; i += blockDim.x) sum += expf(row[i] - most);
  return make_float2(most, logf(sum_of_block(sum)));
}

__global__ void rms_norm(float *y, const float *x, const float *weight, unsigned width, float epsilon) {
  const size_t start = (size_t)blockIdx.x * width;
  float squares = 0.0f;
  for (unsigned i = threadIdx.x; i < width; i += blockDim.x) squares += x[start + i] * x[start + i];
  const float inverse = 1.0f / sqrtf(sum_of_block(squares) / width + epsilon);
  for (unsigned i = threadIdx.x; i < width; i += blockDim.x) y[start + i] = x[start + i] * inverse * weight[i];
}

__global__ void rms_norm_backward(float *of_x, const float *x, const float *weight, const float *gradient,
                                  unsigned width, float epsilon) {
  const size_t start = (size_t)blockIdx.x * width;
  float squares = 0.0f, along = 0.0f;
  for (unsigned i = threadIdx.x; i < width; i += blockDim.x) {
    squares += x[start + i] * x[start + i];
    along += gradient[start + i] * weight[i] * x[start + i];
  }
  const float inverse = 1.0f / sqrtf(sum_of_block(squares) / width + epsilon);
  along = sum_of_block(along) / width * inverse * inverse * inverse;
  for (unsigned i = threadIdx.x; i < width; i += blockDim.x)
    of_x[start + i] = gradient[start + i] * weight[i] * inverse - x[start + i] * along;
}

__global__ void gate(float *y, const float *gate_up, unsigned width) {
  const float *gates = gate_up + (size_t)blockIdx.x * 2 * width, *ups = gates + width;
  float *own = y + (size_t)blockIdx.x * width;
  for (unsigned i = threadIdx.x; i < width; i += blockDim.x) own[i] = gates[i] / (1.0f + expf(-gates[i])) * ups[i];
}

__global__ void gate_backward(float *of_gate_up, const float *gate_up, const float *gradient, unsigned width) {
  const float *gates = gate_up + (size_t)blockIdx.x * 2 * width, *ups = gates + width;
  const float *of_y = gradient + (size_t)blockIdx.x * width;
  float *of_gates = of_gate_up + (size_t)blockIdx.x * 2 * width, *of_ups = of_gates + width;
  for (unsigned i = threadIdx.x; i < width; i += blockDim.x) {
    const float sigmoid = 1.0f / (1.0f + expf(-gates[i])), silu = gates[i] * sigmoid;
    of_ups[i] = of_y[i] * silu;
    of_gates[i] = of_y[i] * ups[i] * (sigmoid + silu * (1.0f - sigmoid));
  }
}

__global__ void turn(float *y, const float *x, const float *cosines, const float *sines, unsigned heads, unsigned half,
                     unsigned turned, float sign) {
  const size_t start = (size_t)blockIdx.x * heads * 2 * half, angles = (size_t)blockIdx.x * half;
  for (unsigned i = threadIdx.x; i < heads * half; i += blockDim.x) {
    const unsigned head = i / half, pair = i % half;
    const size_t place = start + (size_t)head * 2 * half + pair;
    const float first = x[place], second = x[place + half];
    if (head < turned) {
      const float along = cosines[angles + pair], across = sign * sines[angles + pair];
      y[place] = first * along - second * across;
      y[place + half] = second * along + first * across;
    } else {
      y[place] = first;
      y[place + half] = second;
    }
  }
}

__global__ void attend(float *scores, unsigned seen, unsigned queries, unsigned before) {
  float *row = scores + (size_t)blockIdx.x * seen;
  const unsigned visible = before + blockIdx.x % queries + 1;
  float most = LEAST;
  for (unsigned i = threadIdx.x; i < visible; i += blockDim.x) most = fmaxf(most, row[i]);
  most = most_of_block(most);
  float sum = 0.0f;
  for (unsigned i = threadIdx.x; i < visible; i += blockDim.x) {
    const float power = expf(row[i] - most);
    row[i] = power;
    sum += power;
  }
  const float inverse = 1.0f / sum_of_block(sum);
  for (unsigned i = threadIdx.x; i < seen; i += blockDim.x) row[i] = i < visible ? row[i] * inverse : 0.0f;
}

__global__ void attend_backward(float *of_shares, const float *shares, unsigned seen) {
  const size_t start = (size_t)blockIdx.x * seen;
  float along = 0.0f;
  for (unsigned i = threadIdx.x; i < seen; i += blockDim.x) along += of_shares[start + i] * shares[start + i];
  along = sum_of_block(along);
  for (unsigned i = threadIdx.x; i < seen; i += blockDim.x)
    of_shares[start + i] = shares[start + i] * (of_shares[start + i] - along);
}

__global__ void log_sums(float *sums, const float *logits, unsigned width) {
  const float2 sum = log_sum(logits + (size_t)blockIdx.x * width, width);
  if (threadIdx.x == 0) sums[blockIdx.x] = sum.x + sum.y;
}

__global__ void weigh(float *logits, const float *sums, const float *weights, unsigned width) {
  float *row = logits + (size_t)blockIdx.x * width;
  const float sum = sums[blockIdx.x], weight = weights[blockIdx.x];
  for (unsigned i = threadIdx.x; i < width; i += blockDim.x) row[i] = weight * expf(row[i] - sum);
}

__global__ void divergences(float *found, const float *teacher, const float *student, unsigned width) {
  const float *theirs = teacher + (size_t)blockIdx.x * width, *own = student + (size_t)blockIdx.x * width;
  const float2 of_theirs = log_sum(theirs, width), of_own = log_sum(own, width);
  float sum = 0.0f;
  for (unsigned i = threadIdx.x; i < width; i += blockDim.x) {
    const float their_log = theirs[i] - of_theirs.x - of_theirs.y, own_log = own[i] - of_own.x - of_own.y;
    sum += expf(their_log) * (their_log - own_log);
  }
  sum = sum_of_block(sum);
  if (threadIdx.x == 0) found[blockIdx.x] = sum;
}

__global__ void pull_towards(float *student, const float *teacher, unsigned width, float weight) {
  const float *theirs = teacher + (size_t)blockIdx.x * width;
  float *own = student + (size_t)blockIdx.x * width;
  const float2 of_theirs = log_sum(theirs, width), of_own = log_sum(own, width);
  for (unsigned i = threadIdx.x; i < width; i += blockDim.x)
    own[i] = weight * (expf(own[i] - of_own.x - of_own.y) - expf(theirs[i] - of_theirs.x - of_theirs.y));
}
}
