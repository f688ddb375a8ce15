#include <new>

#include <ringlet/network.hpp>

namespace ringlet {

namespace {
alignas(net::NameResolver) constinit std::byte storage[sizeof(net::NameResolver)] = {};
constinit kernel::Guarded<net::NameResolver*, kernel::Rank::service, kernel::Mutex> made{nullptr};
}  // namespace

net::NameResolver& names() {
    auto held = made.lock();
    if (*held == nullptr) *held = new (storage) net::NameResolver(network());
    return **held;
}

Result<AddressList> resolve(std::string_view name, Family family, Duration timeout) {
    return names().resolve(name, family, timeout);
}

Result<TcpStream> connect(std::string_view host, u16 port, Duration timeout) {
    const Instant deadline = net::Service::after(timeout);
    const auto left = [&] { return deadline.is_never() ? net::kForever : deadline - kernel::now(); };
    const AddressList all = TRY(resolve(host, Family::any, timeout));
    Result<TcpStream> stream = fail(Error::not_found);
    for (const net::IpAddr& address : all) {
        const Duration rest = left();
        if (rest.ns <= 0) return fail(Error::timed_out);
        stream = TcpStream::connect(network(), {address, port}, rest);
        if (stream) break;
    }
    return stream;
}

}  // namespace ringlet
