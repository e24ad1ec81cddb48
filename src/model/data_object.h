// Data objects: the values of the API. They are reference-counted and, once shared, never change;
// whoever wants to change one edits a copy of its own (Ptr::edit). That is what lets a reader keep a
// snapshot of an object's properties while the object moves on.
#pragma once

#include <atomic>
#include <cstddef>
#include <cstdint>
#include <type_traits>
#include <utility>

namespace virga::model {

struct TypeInfo;

class RefCounted {
 public:
  RefCounted() = default;
  RefCounted(const RefCounted&) {}
  RefCounted& operator=(const RefCounted&) { return *this; }
  virtual ~RefCounted() = default;

  void retain() const { references_.fetch_add(1, std::memory_order_relaxed); }
  void release() const {
    if (references_.fetch_sub(1, std::memory_order_acq_rel) == 1) delete this;
  }
  bool shared() const { return references_.load(std::memory_order_acquire) > 1; }

 private:
  mutable std::atomic<std::uint32_t> references_{0};
};

// The root of every generated data object. Single inheritance only: a DataObject stands at the
// first byte of each of them, which the metadata's offsets rely on.
class DataObject : public RefCounted {
 public:
  virtual const TypeInfo& type_info() const = 0;
};

// A counted reference to anything RefCounted; nullptr when empty.
template <class T>
class Counted {
 public:
  Counted() = default;
  explicit Counted(const T* object) : object_(object) {
    if (object_) object_->retain();
  }
  Counted(const Counted& other) : Counted(other.object_) {}
  Counted(Counted&& other) noexcept : object_(std::exchange(other.object_, nullptr)) {}
  // Two, not one that takes its operand by value: clang 14 forgets to destroy that in templates.
  Counted& operator=(const Counted& other) { return *this = Counted(other); }
  Counted& operator=(Counted&& other) noexcept {
    Counted taken(std::move(other));
    std::swap(object_, taken.object_);
    return *this;
  }
  ~Counted() {
    if (object_) object_->release();
  }

  const T* get() const { return object_; }
  const T* operator->() const { return object_; }
  const T& operator*() const { return *object_; }
  explicit operator bool() const { return object_ != nullptr; }

 private:
  const T* object_ = nullptr;
};

using DataPtr = Counted<DataObject>;

// A copy of the same dynamic type.
DataPtr clone(const DataObject& object);
// Whether the object's type is, or derives from, `type`.
bool is_a(const TypeInfo& type, const TypeInfo& base);

// A reference to a data object of type T or derived from it: an optional or polymorphic field.
template <class T>
class Ptr {
 public:
  Ptr() = default;
  Ptr(std::nullptr_t) {}  // NOLINT: an empty field reads as nullptr
  explicit Ptr(DataPtr object) : object_(std::move(object)) {}
  template <class U>
    requires std::is_convertible_v<U*, T*>
  Ptr(const Ptr<U>& other) : object_(other.data()) {}  // NOLINT: derived to base, as with pointers

  const T* get() const { return static_cast<const T*>(object_.get()); }
  const T* operator->() const { return get(); }
  const T& operator*() const { return *get(); }
  explicit operator bool() const { return static_cast<bool>(object_); }

  // The object for writing: created when empty, copied first when somebody else sees it too.
  T& edit() {
    if (!object_) {
      if constexpr (!std::is_abstract_v<T>) object_ = DataPtr(new T());
    } else if (object_->shared()) {
      object_ = clone(*object_);
    }
    return *const_cast<T*>(get());
  }
  void reset() { object_ = {}; }

  // The object as a U; nullptr when it is not one.
  template <class U>
  const U* as() const {
    return object_ && is_a(object_->type_info(), U::static_type()) ? static_cast<const U*>(get())
                                                              : nullptr;
  }
  const DataPtr& data() const { return object_; }

 private:
  DataPtr object_;
};

// A new object holding `value`, ready to be put into a field.
template <class T>
Ptr<T> share(T value) {
  return Ptr<T>(DataPtr(new T(std::move(value))));
}

}  // namespace virga::model
