// Sockets for applications. Everything blocks with a bound, or is called try_…; a Selector waits for many at once.
//   auto listener = TRY(TcpListener::bind(network(), 7));
//   TcpStream peer = TRY(listener.accept());  usize n = TRY(peer.read(buffer));  TRY(peer.write(bytes));
// The NIC itself, where its driver has a control queue (NetConfig::full()):
//   TRY(network().control([](LinkControl& nic) { return nic.set_rx_mode({.promiscuous = true}); }));
#pragma once

#include "net/api/selector.hpp"
#include "net/api/service.hpp"
#include "net/api/socket.hpp"

namespace ringlet {

using net::Coalescing;
using net::Endpoint;
using net::Interest;
using net::IpAddr;
using net::Ipv4Addr;
using net::LinkAbilities;
using net::LinkControl;
using net::MacAddr;
using net::Ready;
using net::RxMode;
using net::Selector;
using net::TcpListener;
using net::TcpStream;
using net::UdpSocket;

/// The network of this image. Without a NIC it still reaches itself. Context: thread.
net::Service& network();

}  // namespace ringlet
