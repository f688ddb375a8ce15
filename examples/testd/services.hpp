// An event loop for small services: what is ready says so through its token, the address of a Source.
// Context: one thread.
#pragma once

#include <memory>
#include <string_view>

#include <ringlet/network.hpp>

#include "lib/list.hpp"

namespace testd {

using namespace ringlet;

/// What a client waits for next.
enum class Wants : u8 { nothing, to_read, to_write, to_close };

struct Client;
struct Service {
    u16 port;
    std::string_view name;
    Wants (*serve)(Client&);  ///< does what can be done without waiting
};

class Loop;

/// Something in the selector.
struct Source {
    void (*ready)(Loop&, Source&, const Ready&);
};

/// Bytes that must wait; no memory while there are none.
class Kept {
public:
    /// Instead of what was kept. False: no memory.
    bool keep(Bytes bytes);
    Bytes rest() const { return {bytes_.get() + from_, to_ - from_}; }
    void drop(usize n) {
        if ((from_ += n) == to_) *this = {};
    }

private:
    std::unique_ptr<std::byte[]> bytes_;
    usize from_ = 0, to_ = 0;
};

struct Client : Source, ListNode<> {
    Client(const Service& of, TcpStream accepted) : service(&of), stream(std::move(accepted)) {}
    const Service* service;
    TcpStream stream;
    Interest interest = Interest::read;
    Kept out;           ///< not written yet
    Kept in;            ///< http: requests that were not answered yet, or a part of one
    usize at = 0;       ///< chargen: where in its pattern
    bool last = false;  ///< http: no request follows
};

enum class Answer : u8 { nothing, echo, mark };  // mark: an echo, and bench/'s marker instruction

class Loop {
public:
    explicit Loop(net::Service& network) : network_(network), selector_(network) {}
    Result<> listen(const Service& service);
    Result<> datagrams(u16 port, Answer answer);
    /// Only on an error.
    Result<> run();

private:
    struct Listener;
    struct Datagrams;
    static void accept(Loop& loop, Source& source, const Ready& ready);
    static void serve(Loop& loop, Source& source, const Ready& ready);
    static void answer(Loop& loop, Source& source, const Ready& ready);
    void close(Client& client);

    net::Service& network_;
    Selector selector_;
    List<Client> clients_;
};

// services.cpp
Wants echo(Client& client);
Wants discard(Client& client);
Wants daytime(Client& client);
Wants chargen(Client& client);
Wants lent(Client& client);
/// Makes what lent() lends, once, before anybody connects. False: memory is out.
bool prepare_text();
Wants deaf(Client& client);
Wants http(Client& client);

}  // namespace testd
