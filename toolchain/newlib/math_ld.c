#define _GNU_SOURCE
/* long double C99 functions that newlib 3.3 lacks when long double != double.
   Exactness: sign/rounding/scaling family is exact (x87 or via compiler builtins on the long double value);
   transcendental family computes in double (53 bits).  All weak, one section each. */
#include <float.h>
#include <math.h>
#define W __attribute__((weak))
typedef long double ld;
#define F1(n)                                                                                                          \
    W ld n##l(ld x) {                                                                                                  \
        return n((double)x);                                                                                           \
    }
#define F2(n)                                                                                                          \
    W ld n##l(ld x, ld y) {                                                                                            \
        return n((double)x, (double)y);                                                                                \
    }
F1(acosh)
F1(asinh) F1(atanh) F1(acos) F1(asin) F1(atan) F1(cos) F1(sin) F1(tan) F1(cosh) F1(sinh) F1(tanh) F1(cbrt) F1(erf)
    F1(erfc) F1(exp) F1(exp2) F1(expm1) F1(lgamma) F1(log) F1(log10) F1(log1p) F1(log2) F1(tgamma) F2(atan2) F2(pow) W
    void sincosl(ld x, ld* s, ld* c) {
    double a, b;
    sincos((double)x, &a, &b);
    *s = a;
    *c = b;
}
/* ---- exact helpers on the representation */
#if LDBL_MANT_DIG == 64
typedef union {
    ld v;
    struct {
        unsigned long m;
        unsigned short se;
    } p;
} U;
#define LD_BITS 64
static inline int uexp(U u) {
    return (u.p.se & 0x7fff) - 16383;
}
static inline ld chop(U u, int e) {
    u.p.m &= ~0ul << (63 - e);
    return u.v;
} /* 0 <= e < 63 */
#define EMAX 63
#else
typedef union {
    ld v;
    struct {
        unsigned long lo, hi;
    } p;
} U;
static inline int uexp(U u) {
    return (int)(u.p.hi >> 48 & 0x7fff) - 16383;
}
static inline ld chop(U u, int e) {
    int k = 112 - e;
    if (k >= 64) {
        u.p.lo = 0;
        if (k > 64) u.p.hi &= ~0ul << (k - 64);
    } else
        u.p.lo &= ~0ul << k;
    return u.v;
}
#define EMAX 112
#endif
W ld fabsl(ld x) {
    return __builtin_fabsl(x);
}
W ld copysignl(ld x, ld y) {
    return __builtin_copysignl(x, y);
}
W ld truncl(ld x) {
    U u = {x};
    int e = uexp(u);
    if (e >= EMAX) return x;
    if (e < 0) return __builtin_copysignl(0, x);
    return chop(u, e);
}
W ld floorl(ld x) {
    ld t = truncl(x);
    return t > x ? t - 1 : t;
}
W ld ceill(ld x) {
    ld t = truncl(x);
    return t < x ? t + 1 : t;
}
W ld roundl(ld x) {
    ld t = truncl(x), d = fabsl(x - t);
    return d >= 0.5L ? t + copysignl(1, x) : t;
}
W ld rintl(ld x) {
    volatile ld big = 1 / LDBL_EPSILON;
    U u = {x};
    if (uexp(u) >= EMAX) return x;
    volatile ld r = x < 0 ? (x - big) + big : (x + big) - big;
    return r == 0 ? __builtin_copysignl(0, x) : r;
}
W ld nearbyintl(ld x) {
    return rintl(x);
}
W long lrintl(ld x) {
    return (long)rintl(x);
}
W long long llrintl(ld x) {
    return (long long)rintl(x);
}
W long lroundl(ld x) {
    return (long)roundl(x);
}
W long long llroundl(ld x) {
    return (long long)roundl(x);
}
W ld fdiml(ld x, ld y) {
    return x != x ? x : y != y ? y : x > y ? x - y : 0;
}
W ld fmaxl(ld x, ld y) {
    return x != x ? y : y != y ? x : x > y ? x : y;
}
W ld fminl(ld x, ld y) {
    return x != x ? y : y != y ? x : x < y ? x : y;
}
W ld scalbnl(ld x, int n) {
    ld p = 0x1p16000L, q = 0x1p-16000L;
    while (n > 16000) {
        x *= p;
        n -= 16000;
    }
    while (n < -16000) {
        x *= q;
        n += 16000;
    }
    ld b = n < 0 ? 0.5L : 2.0L;
    unsigned k = n < 0 ? -n : n;
    ld s = 1;
    while (k) {
        if (k & 1) s *= b;
        b *= b;
        k >>= 1;
    }
    return x * s;
}
W ld scalblnl(ld x, long n) {
    return scalbnl(x, n > 100000 ? 100000 : n < -100000 ? -100000 : (int)n);
}
W ld ldexpl(ld x, int n) {
    return scalbnl(x, n);
}
W int ilogbl(ld x) {
    if (x == 0) return FP_ILOGB0;
    if (__builtin_isnan(x)) return FP_ILOGBNAN;
    if (__builtin_isinf(x)) return __INT_MAX__;
    U u = {x};
    int e = uexp(u);
    if (e == -16383) {
        u.v = x * 0x1p120L;
        e = uexp(u) - 120;
    }
    return e;
}
W ld logbl(ld x) {
    return x == 0 ? -__builtin_infl() : (__builtin_isinf(x) || __builtin_isnan(x)) ? x * x : (ld)ilogbl(x);
}
W ld frexpl(ld x, int* e) {
    if (x == 0 || __builtin_isinf(x) || __builtin_isnan(x)) {
        *e = 0;
        return x;
    }
    *e = ilogbl(x) + 1;
    return scalbnl(x, -*e);
}
W ld modfl(ld x, ld* i) {
    *i = truncl(x);
    return __builtin_isinf(x) ? copysignl(0, x) : copysignl(x - *i, x);
}
#if LDBL_MANT_DIG == 64
W ld fmodl(ld x, ld y) {
    unsigned short sw;
    do __asm__("fprem\n\tfnstsw %1" : "+t"(x), "=a"(sw) : "u"(y));
    while (sw & 0x400);
    return x;
}
W ld remainderl(ld x, ld y) {
    unsigned short sw;
    do __asm__("fprem1\n\tfnstsw %1" : "+t"(x), "=a"(sw) : "u"(y));
    while (sw & 0x400);
    return x;
}
W ld sqrtl(ld x) {
    __asm__("fsqrt" : "+t"(x));
    return x;
}
#else
W ld fmodl(ld x, ld y) {
    if (y == 0 || x != x || y != y || __builtin_isinf(x)) return (x * y) / (x * y);
    if (__builtin_isinf(y)) return x;
    ld a = fabsl(x), b = fabsl(y);
    while (a >= b) {
        int n = ilogbl(a) - ilogbl(b);
        ld t = scalbnl(b, n);
        if (t > a) t = scalbnl(b, n - 1);
        a -= t;
    }
    return copysignl(a, x);
}
W ld remainderl(ld x, ld y) {
    ld b = fabsl(y), a = fabsl(fmodl(x, 2 * b));
    if (a > b / 2) {
        a -= b;
        if (a >= b / 2) a -= b;
    }
    return x < 0 ? -a : a;
}
#endif
W ld remquol(ld x, ld y, int* q) {
    ld r = remainderl(x, y);
    *q = (int)(long)rintl((x - r) / y) & 0x7;
    return r;
}
W ld fmal(ld x, ld y, ld z) {
    return x * y + z;
}
W ld nextafterl(ld x, ld y) {
    if (x != x || y != y) return x + y;
    if (x == y) return y;
    if (x == 0) return copysignl(LDBL_TRUE_MIN, y);
    U u = {x};
#if LDBL_MANT_DIG == 64
    if ((x < y) == (x > 0)) {
        if (++u.p.m == 0) {
            u.p.m = 1ul << 63;
            u.p.se++;
        } else if ((u.p.se & 0x7fff) == 0 && (u.p.m >> 63))
            u.p.se++;
    } else {
        if (u.p.m == 1ul << 63 && (u.p.se & 0x7fff)) {
            u.p.se--;
            u.p.m = (u.p.se & 0x7fff) ? ~0ul : ~0ul >> 1;
        } else
            u.p.m--;
    }
#else
    if ((x < y) == (x > 0)) {
        if (++u.p.lo == 0) u.p.hi++;
    } else {
        if (u.p.lo-- == 0) u.p.hi--;
    }
#endif
    return u.v;
}
W ld nexttowardl(ld x, ld y) {
    return nextafterl(x, y);
}
W double nexttoward(double x, ld y) {
    return nextafter(x, (ld)x == y ? x : (ld)x < y ? __builtin_inf() : -__builtin_inf());
}
W float nexttowardf(float x, ld y) {
    return nextafterf(x, (ld)x == y ? x : (ld)x < y ? __builtin_inff() : -__builtin_inff());
}
