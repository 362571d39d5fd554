# An application with this folder's component: idf.py -C examples/classify build
cmake_minimum_required(VERSION 3.16)
set(EXTRA_COMPONENT_DIRS $${CMAKE_CURRENT_LIST_DIR}/../..)
include($$ENV{IDF_PATH}/tools/cmake/project.cmake)
project(${prefix}_classify)
