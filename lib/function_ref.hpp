// A non-owning reference to something callable: two words, no allocation. The callee outlives the call.
#pragma once

#include <memory>
#include <type_traits>
#include <utility>

namespace ringlet {

template <class Signature> class FunctionRef;

template <class R, class... A> class FunctionRef<R(A...)> {
    void* object_;
    R (*call_)(void*, A...);

public:
    template <class F>
    requires(!std::is_same_v<std::remove_cvref_t<F>, FunctionRef> && std::is_invocable_r_v<R, F&, A...>)
        FunctionRef(F&& f)
        : object_(const_cast<void*>(static_cast<const void*>(std::addressof(f)))), call_([](void* o, A... a) -> R {
              return (*static_cast<std::remove_reference_t<F>*>(o))(std::forward<A>(a)...);
          }) {}
    R operator()(A... a) const { return call_(object_, std::forward<A>(a)...); }
};

}  // namespace ringlet
