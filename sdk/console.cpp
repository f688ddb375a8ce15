#include <ringlet/console.hpp>

#include <algorithm>

namespace ringlet {

void vprint(std::string_view format, std::span<const detail::FormatArg> args) {
    char text[512];
    usize n = 0;
    const auto flush = [&] { kernel::console_write({text, std::exchange(n, 0)}); };
    auto collect = [&](std::string_view piece) {
        while (!piece.empty()) {
            const usize part = std::min(piece.size(), sizeof text - n);
            std::copy_n(piece.data(), part, text + n);
            n += part;
            piece.remove_prefix(part);
            if (n == sizeof text) flush();
        }
    };
    detail::vformat(collect, format, args);
    if (n != 0) flush();
}

}  // namespace ringlet
