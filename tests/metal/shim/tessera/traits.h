#pragma once

// Type traits (section 6.4).

namespace metal {

template <typename T, T v>
struct integral_constant {
  static constexpr constant T value = v;
  typedef T value_type;
  typedef integral_constant type;
  constexpr operator T() const {
    return v;
  }
};
template <bool v>
using bool_constant = integral_constant<bool, v>;
typedef bool_constant<true> true_type;
typedef bool_constant<false> false_type;

template <typename T>
struct remove_const {
  typedef T type;
};
template <typename T>
struct remove_const<const T> {
  typedef T type;
};
template <typename T>
struct remove_volatile {
  typedef T type;
};
template <typename T>
struct remove_volatile<volatile T> {
  typedef T type;
};
template <typename T>
struct remove_cv {
  typedef typename remove_volatile<typename remove_const<T>::type>::type type;
};
template <typename T>
using remove_cv_t = typename remove_cv<T>::type;
template <typename T>
using remove_const_t = typename remove_const<T>::type;

template <typename T>
struct remove_addrspace {
  typedef T type;
};
template <typename T>
struct remove_addrspace<__private T> {
  typedef T type;
};
template <typename T>
struct remove_addrspace<__global T> {
  typedef T type;
};
template <typename T>
struct remove_addrspace<__local T> {
  typedef T type;
};
template <typename T>
struct remove_addrspace<__constant T> {
  typedef T type;
};
template <typename T>
struct remove_addrspace<__generic T> {
  typedef T type;
};
template <typename T>
using remove_addrspace_t = typename remove_addrspace<T>::type;

template <typename T>
struct remove_reference {
  typedef T type;
};
template <typename T>
struct remove_reference<T&> {
  typedef T type;
};
template <typename T>
struct remove_reference<T&&> {
  typedef T type;
};
template <typename T>
using remove_reference_t = typename remove_reference<T>::type;
template <typename T>
using decay_t = remove_cv_t<remove_addrspace_t<remove_reference_t<T>>>;

template <typename T, typename U>
constexpr constant bool is_same_v = __is_same(T, U);
template <typename T, typename U>
struct is_same : bool_constant<__is_same(T, U)> {};
template <typename T, typename U>
constexpr constant bool is_convertible_v = __is_convertible_to(T, U);
template <typename T, typename U>
struct is_convertible : bool_constant<__is_convertible_to(T, U)> {};
template <typename T>
constexpr constant bool is_integral_v = __is_integral(T);
template <typename T>
struct is_integral : bool_constant<__is_integral(T)> {};
template <typename T>
constexpr constant bool is_floating_point_v = __is_floating_point(T);
template <typename T>
struct is_floating_point : bool_constant<__is_floating_point(T)> {};
template <typename T>
constexpr constant bool is_arithmetic_v = __is_arithmetic(T);
template <typename T>
struct is_arithmetic : bool_constant<__is_arithmetic(T)> {};
template <typename T>
constexpr constant bool is_signed_v = __is_signed(T);
template <typename T>
struct is_signed : bool_constant<__is_signed(T)> {};
template <typename T>
constexpr constant bool is_unsigned_v = __is_unsigned(T);
template <typename T>
struct is_unsigned : bool_constant<__is_unsigned(T)> {};

template <bool, typename T = void>
struct enable_if {};
template <typename T>
struct enable_if<true, T> {
  typedef T type;
};
template <bool condition, typename T = void>
using enable_if_t = typename enable_if<condition, T>::type;

template <bool, typename T, typename>
struct conditional {
  typedef T type;
};
template <typename T, typename U>
struct conditional<false, T, U> {
  typedef U type;
};
template <bool condition, typename T, typename U>
using conditional_t = typename conditional<condition, T, U>::type;

} // namespace metal
