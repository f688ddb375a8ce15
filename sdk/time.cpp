#include <new>

#include <ringlet/network.hpp>
#include <ringlet/time.hpp>

namespace ringlet {

namespace {
alignas(net::TimeSync) constinit std::byte storage[sizeof(net::TimeSync)] = {};
constinit kernel::Guarded<net::TimeSync*, kernel::Rank::service, kernel::Mutex> made{nullptr};
}  // namespace

net::TimeSync& time_sync() {
    auto held = made.lock();
    if (*held == nullptr) *held = new (storage) net::TimeSync(network());
    return **held;
}

}  // namespace ringlet
