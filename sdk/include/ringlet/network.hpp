// Sockets for applications. Everything blocks with a bound, or is called try_…; a Selector waits for many at once.
//   auto listener = TRY(TcpListener::bind(network(), 7));
//   TcpStream peer = TRY(listener.accept());  usize n = TRY(peer.read(buffer));  TRY(peer.write(bytes));
#pragma once

#include "net/api/selector.hpp"
#include "net/api/service.hpp"
#include "net/api/socket.hpp"

namespace ringlet {

using net::Endpoint;
using net::Interest;
using net::Ipv4Addr;
using net::Ready;
using net::Selector;
using net::TcpListener;
using net::TcpStream;
using net::UdpSocket;

/// The network of this image. Without a NIC it still reaches itself. Context: thread.
net::Service& network();

}  // namespace ringlet
