// What the entropy driver does to the kernel's generator.
#include "drivers/virtio/rng.hpp"

#include <cstring>

#include "arch/cpu.hpp"
#include "kernel/random.hpp"

namespace ringlet::virtio {

void take_entropy(MutableBytes written) {
    kernel::random_add_entropy(written);
    std::memset(written.data(), 0, written.size());
}

bool cpu_has_entropy() {
    return arch::hardware_random().has_value();
}

}  // namespace ringlet::virtio
