// The parts of the network driver that do not depend on its configuration.
#include "drivers/virtio/net.hpp"

#include "kernel/sched/event.hpp"
#include "kernel/time/clock.hpp"

namespace ringlet::virtio {

FeatureBits NetTunables::declined() const {
    using F = NetSpec::Feature;
    FeatureBits d;
    const FeatureBits tx = mask(F::host_tso4, F::host_tso6, F::host_ecn, F::host_uso);
    const FeatureBits rx = mask(F::guest_tso4, F::guest_tso6, F::guest_ecn, F::guest_uso4, F::guest_uso6);
    if (csum_disable) d = d | mask(F::csum, F::guest_csum) | tx | rx;
    if (tso_disable) d = d | tx;
    if (lro_disable) d = d | rx;
    if (pairs(2) == 1) d = d | mask(F::mq);
    return d;
}

bool wait_for_answer(FunctionRef<bool()> done) {
    // A device usually answers inside the doorbell's write; one with a thread of its own takes some microseconds.
    constexpr unsigned kQuickLooks = 64;
    constexpr Duration kPatience = Duration::from_s(1), kPause = Duration::from_us(50);
    kernel::Event pause;
    const Instant deadline = kernel::now() + kPatience;
    for (unsigned looks = 0; !done(); ++looks) {
        const Instant now = kernel::now();
        if (now >= deadline) return done();
        if (looks >= kQuickLooks) (void)pause.wait_until(now + kPause);
    }
    return true;
}

}  // namespace ringlet::virtio
