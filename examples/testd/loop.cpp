// See services.hpp.
#include <algorithm>
#include <new>

#include "bench/marker.hpp"
#include "services.hpp"

namespace testd {

namespace {
constexpr u16 kBacklog = 512;
constexpr int kBurst = 64;  ///< then others have their turn
}  // namespace

struct Loop::Listener : Source {
    Listener(const Service& offered, TcpListener bound) : service(&offered), socket(std::move(bound)) {}
    const Service* service;
    TcpListener socket;
};

struct Loop::Datagrams : Source {
    Datagrams(Answer how, UdpSocket bound) : answer(how), socket(std::move(bound)) {}
    Answer answer;
    UdpSocket socket;
};

bool Kept::keep(Bytes bytes) {
    std::unique_ptr<std::byte[]> memory(bytes.empty() ? nullptr : new (std::nothrow) std::byte[bytes.size()]);
    if (!memory && !bytes.empty()) return false;
    std::ranges::copy(bytes, memory.get());
    bytes_ = std::move(memory);
    from_ = 0, to_ = bytes.size();
    return true;
}

Result<> Loop::listen(const Service& service) {
    auto* l =
        new (std::nothrow) Listener(service, TRY(TcpListener::bind(network_, service.port, kBacklog)));  // for ever
    if (l == nullptr) return fail(Error::no_memory);
    l->ready = accept;
    return selector_.add(l->socket, reinterpret_cast<u64>(static_cast<Source*>(l)), Interest::read);
}

Result<> Loop::datagrams(u16 port, Answer answer_with) {
    auto* d = new (std::nothrow) Datagrams(answer_with, TRY(UdpSocket::bind(network_, {{}, port})));  // for ever
    if (d == nullptr) return fail(Error::no_memory);
    d->ready = answer;
    return selector_.add(d->socket, reinterpret_cast<u64>(static_cast<Source*>(d)), Interest::read);
}

Result<> Loop::run() {
    Ready ready[64];
    for (;;) {
        for (const Ready& r : selector_.wait(ready, Instant::never())) {
            Source& source = *reinterpret_cast<Source*>(r.token);
            source.ready(*this, source, r);
        }
    }
}

void Loop::accept(Loop& loop, Source& source, const Ready&) {
    auto& listener = static_cast<Listener&>(source);
    for (int i = 0; i < kBurst; ++i) {
        auto stream = listener.socket.try_accept();
        if (!stream) return;
        net::tcp::Options options;
        options.no_delay = true;
        (void)stream->configure(options);
        auto* c = new (std::nothrow) Client(*listener.service, std::move(*stream));
        if (c == nullptr) continue;
        c->ready = serve;
        loop.clients_.push_back(*c);
        const u64 token = reinterpret_cast<u64>(static_cast<Source*>(c));
        if (loop.selector_.add(c->stream, token, Interest::read))
            serve(loop, *c, {});
        else
            loop.close(*c);
    }
}

void Loop::serve(Loop& loop, Source& source, const Ready& ready) {
    auto& c = static_cast<Client&>(source);
    if (ready.finished && !ready.readable) return loop.close(c);
    const Wants wants = c.service->serve(c);
    if (wants == Wants::to_close) return loop.close(c);
    const Interest interest = wants == Wants::to_read    ? Interest::read
                              : wants == Wants::to_write ? Interest::write
                                                         : Interest::none;
    if (interest == c.interest) return;
    c.interest = interest;
    if (!loop.selector_.modify(c.stream, interest)) loop.close(c);
}

void Loop::answer(Loop&, Source& source, const Ready&) {
    auto& d = static_cast<Datagrams&>(source);
    static constinit std::byte buffer[2048];
    for (int i = 0; i < kBurst; ++i) {
        const auto got = d.socket.try_receive_from(buffer);
        if (!got) return;
        if (d.answer == Answer::mark) bench_mark();
        if (d.answer != Answer::nothing) (void)d.socket.try_send_to(got->from, std::span(buffer).first(got->size));
    }
}

void Loop::close(Client& c) {
    selector_.remove(c.stream);
    List<Client>::remove(c);
    delete &c;
}

}  // namespace testd
