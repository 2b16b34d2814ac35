"""Checkpoints: a store of root trees and files, addressed by the key of the step that made them."""
