#include <ringlet/network.hpp>

#include <new>

namespace ringlet {

namespace {
// Made by the first call, which is the composition root's, before there are threads: as a constant it would add seven
// KiB of mostly zeros to the image. Never destroyed: applications may run until the machine stops.
alignas(net::Service) constinit std::byte storage[sizeof(net::Service)] = {};
constinit net::Service* service = nullptr;
}  // namespace

net::Service& network() {
    if (service == nullptr) service = new (storage) net::Service;
    return *service;
}

}  // namespace ringlet
