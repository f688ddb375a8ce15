// Sockets for applications. Everything blocks with a bound, or is called try_…; a Selector waits for many at once.
//   auto listener = TRY(TcpListener::bind(network(), 7));
//   TcpStream peer = TRY(listener.accept());  usize n = TRY(peer.read(buffer));  TRY(peer.write(bytes));
// The NIC itself, where its driver has a control queue (NetConfig::full()):
//   TRY(network().control([](LinkControl& nic) { return nic.set_rx_mode({.promiscuous = true}); }));
#pragma once

#include "net/api/resolver.hpp"
#include "net/api/selector.hpp"
#include "net/api/service.hpp"
#include "net/api/socket.hpp"

namespace ringlet {

using net::AwaitedLoan;
using net::Coalescing;
using net::Endpoint;
using net::Interest;
using net::IpAddr;
using net::Ipv4Addr;
using net::LinkAbilities;
using net::LinkControl;
using net::Loan;
using net::MacAddr;
using net::Ready;
using net::ReceivedBytes;
using net::RxMode;
using net::Selector;
using net::TcpListener;
using net::TcpStream;
using net::UdpSocket;

/// The network of this image. Without a NIC it still reaches itself. Context: thread.
net::Service& network();

using net::AddressList;
using net::Family;

/// The addresses of a host: a literal, one that the configuration names, or what DNS says; waits at most `timeout`. The
/// resolver is in the image only when this or connect() is used. invalid, not_found, timed_out, unreachable, io.
Result<AddressList> resolve(std::string_view name, Family family = Family::any,
                            Duration timeout = net::NameResolver::kTimeout);
/// A connection to a host by its name: its addresses one after the other, the last error when none answers.
Result<TcpStream> connect(std::string_view host, u16 port, Duration timeout = Duration::from_s(30));
/// The resolver behind it, for its counters.
net::NameResolver& names();

}  // namespace ringlet
