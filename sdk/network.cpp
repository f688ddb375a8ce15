#include <ringlet/network.hpp>

namespace ringlet {

namespace {
// Never destroyed: applications may run until the machine stops.
constinit union Holder {
    net::Service service;
    constexpr Holder() : service() {}
    ~Holder() {}
} holder;
}  // namespace

net::Service& network() {
    return holder.service;
}

}  // namespace ringlet
