# Why each of these is here: docs/dependencies.md.
set(THREADS_PREFER_PTHREAD_FLAG ON)
find_package(Threads REQUIRED)
find_package(Boost 1.81 REQUIRED COMPONENTS json)
find_package(OpenSSL 3 REQUIRED)
find_package(ZLIB REQUIRED)
find_package(fmt REQUIRED)
find_package(spdlog REQUIRED)
find_package(pugixml REQUIRED)
find_package(CLI11 REQUIRED)
find_package(PkgConfig REQUIRED)
pkg_check_modules(LIBISCSI REQUIRED IMPORTED_TARGET libiscsi)
pkg_check_modules(LIBNFS REQUIRED IMPORTED_TARGET libnfs)
pkg_check_modules(FUSE3 REQUIRED IMPORTED_TARGET fuse3)
find_package(Python3 REQUIRED COMPONENTS Interpreter)
if(VIRGA_TESTS)
  find_package(GTest REQUIRED)
endif()

# Asio's and Beast's implementation is compiled once (base/asio.cpp, wire/beast.cpp).
add_compile_definitions(BOOST_ASIO_SEPARATE_COMPILATION BOOST_BEAST_SEPARATE_COMPILATION
                        BOOST_ASIO_NO_DEPRECATED BOOST_ASIO_DISABLE_BOOST_COROUTINE
                        SPDLOG_FMT_EXTERNAL SPDLOG_COMPILED_LIB)
