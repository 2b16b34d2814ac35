"""Build: turn a description and its inputs into steps; appliances, root trees and images."""
