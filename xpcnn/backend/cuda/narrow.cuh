// Numbers of 16 bits: kept as such, computed with as float, and rounded to the nearest, ties to even. They become float
// and are made of float by themselves, so that a kernel is written once for all types of numbers.

#ifdef __CUDACC_RTC__
#define METHOD __device__
#else
#define METHOD
#endif

struct bfloat16 {
    unsigned short bits;

    bfloat16() = default;
    METHOD bfloat16(float x) {
        union { float number; unsigned bits; } u = {x};
        // the upper half, and one more where the lower half is more than a half of it, or a half and the upper is odd
        bits = x != x ? (u.bits >> 16) | 0x40 : (u.bits + 0x7FFF + (u.bits >> 16 & 1)) >> 16;
    }
    METHOD operator float() const {
        union { unsigned bits; float number; } u = {(unsigned)bits << 16};
        return u.number;
    }
    METHOD bfloat16 &operator+=(float x) { return *this = bfloat16((float)*this + x); }
};

struct float16 {
    unsigned short bits;

    float16() = default;
#ifdef __CUDA_ARCH__
    METHOD float16(float x) { asm("cvt.rn.f16.f32 %0, %1;" : "=h"(bits) : "f"(x)); }
    METHOD operator float() const {
        float x;
        asm("cvt.f32.f16 %0, %1;" : "=f"(x) : "h"(bits));
        return x;
    }
#else  // where the compiler has such a type
    METHOD float16(float x) {
        union { _Float16 number; unsigned short bits; } u = {(_Float16)x};
        bits = u.bits;
    }
    METHOD operator float() const {
        union { unsigned short bits; _Float16 number; } u = {bits};
        return (float)u.number;
    }
#endif
    METHOD float16 &operator+=(float x) { return *this = float16((float)*this + x); }
};
