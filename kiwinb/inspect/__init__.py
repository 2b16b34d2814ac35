"""Inspect the content of root trees and images as data."""
