// Thread-specific values, pthread_key_create(). libstdc++ destroys thread_local objects by one of them.
#include <pthread.h>

#include <cstdint>

#include "kernel/sync/spinlock.hpp"
#include "posix/error.hpp"
#include "posix/thread.hpp"

using namespace ringlet;
using namespace ringlet::posix;

namespace {

struct Key {
    bool used = false;
    u32 generation = 0;  ///< values of an earlier one are none
    void (*destroy)(void*) = nullptr;
};
struct Keys {
    Key all[PTHREAD_KEYS_MAX];
};
constinit kernel::Guarded<Keys, kernel::Rank::device, kernel::Spinlock> keys;

struct Value {
    void* value;
    u32 generation;
};
thread_local Value values[PTHREAD_KEYS_MAX];
thread_local u64 set_values = 0;  ///< bit k: values[k] is not null
static_assert(PTHREAD_KEYS_MAX <= 64);

Key key_at(pthread_key_t key) {
    return key < PTHREAD_KEYS_MAX ? keys.lock()->all[key] : Key{};
}

}  // namespace

namespace ringlet::posix {

void destroy_specific() {
    for (int round = 0; set_values != 0 && round < PTHREAD_DESTRUCTOR_ITERATIONS; ++round) {
        for (u64 left = std::exchange(set_values, 0); left != 0; left &= left - 1) {
            const auto k = static_cast<pthread_key_t>(__builtin_ctzll(left));
            const Key key = key_at(k);
            const Value had = std::exchange(values[k], {});
            if (key.used && key.generation == had.generation && key.destroy != nullptr) key.destroy(had.value);
        }
    }
}

}  // namespace ringlet::posix

extern "C" {

int pthread_key_create(pthread_key_t* out, void (*destroy)(void*)) {
    auto held = keys.lock();
    for (u32 k = 0; k < PTHREAD_KEYS_MAX; ++k) {
        Key& key = held->all[k];
        if (key.used) continue;
        key = {.used = true, .generation = key.generation + 1, .destroy = destroy};
        *out = k;
        return 0;
    }
    return EAGAIN;
}

int pthread_key_delete(pthread_key_t k) {
    if (k >= PTHREAD_KEYS_MAX) return EINVAL;
    auto held = keys.lock();
    if (!held->all[k].used) return EINVAL;
    held->all[k].used = false;
    return 0;
}

int pthread_setspecific(pthread_key_t k, const void* value) {
    const Key key = key_at(k);
    if (!key.used) return EINVAL;
    values[k] = {const_cast<void*>(value), key.generation};
    if (value != nullptr)
        set_values |= u64{1} << k;
    else
        set_values &= ~(u64{1} << k);
    return 0;
}

void* pthread_getspecific(pthread_key_t k) {
    const Key key = key_at(k);
    return key.used && values[k].generation == key.generation ? values[k].value : nullptr;
}

}  // extern "C"
