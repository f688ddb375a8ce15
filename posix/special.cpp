#include "posix/special.hpp"

#include <algorithm>
#include <new>

#include "kernel/random.hpp"
#include "posix/console.hpp"
#include "posix/descriptor_table.hpp"

namespace ringlet::posix {

namespace {

using Kind = Special::Kind;

constexpr Special kAll[] = {
    {"/dev/null", Kind::null},      {"/dev/zero", Kind::zero},       {"/dev/random", Kind::random},
    {"/dev/urandom", Kind::random}, {"/dev/console", Kind::console}, {"/dev/tty", Kind::console},
};

class SpecialDescription final : public Description {
public:
    SpecialDescription(const Special& special, int flags) : Description(flags), special_(special) {}
    Outcome<usize> read(MutableBytes to) override {
        if (!readable()) return refuse(EBADF);
        if (special_.kind == Kind::null) return usize{0};
        if (special_.kind == Kind::random)
            kernel::random_fill(to);
        else
            std::fill(to.begin(), to.end(), std::byte{});
        return to.size();
    }
    Outcome<usize> write(Bytes from) override {
        if (!writable()) return refuse(EBADF);
        return from.size();
    }
    Outcome<usize> read_at(u64, MutableBytes to) override { return read(to); }
    Outcome<usize> write_at(u64, Bytes from) override { return write(from); }
    Outcome<u64> seek(i64, int) override { return u64{0}; }
    Outcome<> stat(struct stat& out) override { return stat_special(special_, out); }

private:
    const Special& special_;
};

}  // namespace

const Special* find_special(std::string_view path) {
    const auto* found = std::find_if(std::begin(kAll), std::end(kAll), [&](auto& s) { return s.path == path; });
    return found != std::end(kAll) ? found : nullptr;
}

Outcome<Ref> open_special(const Special& special, int flags) {
    if (special.kind == Kind::console) return console_description();
    return make_description<SpecialDescription>(special, flags);
}

Outcome<> stat_special(const Special& special, struct stat& out) {
    if (special.kind == Kind::console) return console_description()->stat(out);
    out = {};
    out.st_mode = S_IFCHR | 0666;
    out.st_nlink = 1;
    out.st_rdev = static_cast<dev_t>(1 << 8 | (special.kind == Kind::null ? 3 : special.kind == Kind::zero ? 5 : 9));
    out.st_blksize = 4096;
    return {};
}

}  // namespace ringlet::posix
