// What a loss scale is after a step, and for how long. See xpcnn.optimizers.LossScale.

typedef long long i64;

// Number is the type of the gradients, in which the new scale is computed.
extern "C" __global__ void adapted(float *scale, int *good, const bool *finite, double growth, double backoff,
                                   i64 interval) {
    if (blockIdx.x || threadIdx.x) return;
    Number s = (Number)*scale, grown = s * (Number)growth;
    int counted = *good + 1;
    bool due = counted == interval;
    Number kept = due && grown - grown == (Number)0 ? grown : s;  // an infinity less itself is NaN
    *good = *finite && !due ? counted : 0;
    *scale = (float)(*finite ? kept : s * (Number)backoff);
}
